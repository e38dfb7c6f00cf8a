"""Many small steps add up: what one person moves by hand in 24 hours is bounded, too."""

from __future__ import annotations

import asyncio
from collections import Counter
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack
from datetime import timedelta
from typing import Any
from uuid import UUID, uuid4

import httpx
import pytest
from msgspec.structs import replace

from billing.app.api import OPERATIONS
from billing.common.settings import Settings
from ledger.errors import Unavailable
from tests.billing.balances.house import START, House, opened

OTHERS = [one for one in OPERATIONS if not one.path.startswith("/v1/ledger/")]
HOUR = timedelta(hours=1)


def limited(settings: Settings, **more: Any) -> Settings:
    """100.00 points a step, 250.00 a person."""
    points = {"adjustment_approval_points": 10_000, "person_approval_points": 25_000}
    return replace(settings, **points | more)


@pytest.fixture
async def house(settings: Settings) -> AsyncIterator[House]:
    async with opened(limited(settings), [one for one in OTHERS if one.path in MORE]) as made:
        yield made


MORE = (
    "/v1/batches", "/v1/transfers", "/v1/approvals", "/v1/approvals/{id}/approve",
    "/v1/customers/{id}/merge",
    "/v1/imports", "/v1/imports/{id}/rows", "/v1/imports/{id}/post",
)  # fmt: skip


def body(customer: UUID, points: str) -> dict[str, Any]:
    return {"customer": {"customer_id": str(customer)}, "points": points, "reason": "claim 7"}


async def adjust(
    client: httpx.AsyncClient, customer: UUID, points: str, key: str | None = None
) -> httpx.Response:
    headers = {"idempotency-key": key or uuid4().hex}
    return await client.post("/v1/adjustments", json=body(customer, points), headers=headers)


async def available(house: House, customer: UUID) -> str:
    return str((await house.get(f"/v1/customers/{customer}/balance"))["available"])


async def test_above_the_sum_of_a_day_the_next_step_needs_a_second_person(house: House) -> None:
    anna, customer = await house.client("finance"), await house.customer()
    key = uuid4().hex
    for points, expected in (("100.00", 201), ("-60.00", 201), ("90.00", 201), ("0.01", 202)):
        answer = await adjust(anna, customer, points, key if points == "90.00" else None)
        assert answer.status_code == expected, answer.text
    assert await available(house, customer) == "130.00"
    again = await adjust(anna, customer, "90.00", key)
    assert (again.status_code, again.headers["idempotency-hit"]) == (201, "true")

    boris = await house.client("admin")
    asked = answer.json()["approval_id"]
    approved = await boris.post(f"/v1/approvals/{asked}/approve")
    assert approved.json()["state"] == "done", approved.text
    assert await available(house, customer) == "130.01"
    assert (await adjust(boris, customer, "100.00")).status_code == 201  # Another's own sum.


async def test_after_24_hours_it_is_another_day(house: House) -> None:
    """Of any 24 hours: there is no midnight after which it begins anew."""
    anna, customer = await house.client("finance"), await house.customer()
    house.clock.now = START.replace(hour=23, minute=59)
    for points in ("100.00", "100.00", "50.00"):
        assert (await adjust(anna, customer, points)).status_code == 201
    house.clock.now += 2 * HOUR
    assert (await adjust(anna, customer, "0.01")).status_code == 202
    house.clock.now += 21 * HOUR
    assert (await adjust(anna, customer, "0.01")).status_code == 202
    house.clock.now += 2 * HOUR
    assert (await adjust(anna, customer, "100.00")).status_code == 201


async def test_what_waits_for_a_second_person_is_not_posted_without(
    house: House, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The ledger was away when it was asked for; a day later the same request would be allowed."""
    anna, boris = await house.client("finance"), await house.client("admin")
    customer, key = await house.customer(), uuid4().hex
    for points in ("100.00", "100.00", "50.00"):
        assert (await adjust(anna, customer, points)).status_code == 201

    async def away(*_: Any) -> None:
        raise Unavailable("The database is away.")

    with monkeypatch.context() as patched:
        patched.setattr(house.ledger, "execute", away)
        assert (await adjust(anna, customer, "7.00", key)).status_code == 503
    house.clock.now += 26 * HOUR
    asked = await adjust(anna, customer, "7.00", key)
    assert asked.status_code == 202, asked.text
    approve = f"/v1/approvals/{asked.json()['approval_id']}/approve"
    assert (await boris.post(approve)).json()["state"] == "done"
    assert (await adjust(anna, customer, "7.00", key)).json() == asked.json()
    assert await available(house, customer) == "257.00"


async def test_what_was_posted_while_it_was_asked_for_is_not_posted_again(
    house: House, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Sent twice at once, with another step between: the second one finds no answer yet, asks,
    and then hears that of the first."""
    anna, boris = await house.client("finance"), await house.client("admin")
    customer, key = await house.customer(), uuid4().hex
    for points in ("100.00", "100.00", "50.00"):
        posted = await adjust(anna, customer, points, key if points == "50.00" else None)
        assert posted.status_code == 201
    monkeypatch.setattr("billing.approvals.posting._KNOWN", "SELECT NULL::bytea WHERE $1 = ''")
    again = await adjust(anna, customer, "50.00", key)
    assert (again.status_code, again.json()) == (201, posted.json())
    (waiting,) = (await boris.get("/v1/approvals", params={"state": "pending"})).json()["items"]
    refused = await boris.post(f"/v1/approvals/{waiting['id']}/approve")
    assert (refused.status_code, refused.json()["code"]) == (409, "approval_state"), refused.text
    assert await available(house, customer) == "250.00"


@pytest.mark.parametrize("processes", [1, 3])
async def test_at_once_no_more_than_the_sum_is_given(
    settings: Settings, house: House, processes: int
) -> None:
    """Side by side in one process and in several: the first steps of a person, too, for whom
    nothing is counted yet."""
    async with AsyncExitStack() as stack:
        houses = [house]
        while len(houses) < processes:
            houses += [await stack.enter_async_context(opened(limited(settings)))]
        (secret,) = {(await house.client("finance")).headers["authorization"]}
        clients = []
        for one in houses:
            client = await one.client("admin")
            client.headers["authorization"] = secret
            clients.append(client)
        customers = [await house.customer() for _ in range(12)]
        answers = await asyncio.gather(
            *(adjust(clients[at % len(clients)], one, "40.00") for at, one in enumerate(customers))
        )
        codes = Counter(answer.status_code for answer in answers)
        assert codes[201] == 6
        assert codes[202] + codes[409] == 6
        refused = [one.json()["code"] for one in answers if one.status_code == 409]
        assert set(refused) <= {"approval_needed"}
        given = [await available(house, one) for one in customers]
        assert Counter(given) == {"40.00": 6, "0.00": 6}


async def test_a_batch_is_counted_step_by_step(house: House) -> None:
    anna = await house.client("finance")
    customers = [await house.customer() for _ in range(4)]
    operations = [
        {"kind": "adjustment", "idempotency_key": uuid4().hex, "body": body(one, "80.00")}
        for one in customers
    ]
    answer = await anna.post("/v1/batches", json={"operations": operations})
    results = answer.json()["results"]
    assert [one["status"] for one in results] == [201, 201, 201, 409]
    assert results[3]["body"]["code"] == "approval_needed"


async def test_transfers_and_imports_count_too(settings: Settings) -> None:
    operations = [one for one in OTHERS if one.path in MORE]
    async with opened(limited(settings, transfer_approval_points=10_000), operations) as house:
        admin, one, other = (
            await house.client("admin"),
            await house.customer(),
            await house.customer(),
        )
        await house.accrue(one, 30_000)
        moved: dict[str, Any] = {
            "from": {"customer_id": str(one)},
            "to": {"customer_id": str(other)},
        }
        moved |= {"points": "100.00", "reason": "claim 7"}
        for expected in (201, 201, 202):
            headers = {"idempotency-key": uuid4().hex}
            answer = await admin.post("/v1/transfers", json=moved, headers=headers)
            assert answer.status_code == expected, answer.text
        for name, points, asked in (("a", "40.00", False), ("b", "10.01", True)):
            path = (await admin.post("/v1/imports", json={"name": name})).json()["id"]
            rows = {"csv": f"customer_id,points\n{other},{points}\n"}
            assert (await admin.post(f"/v1/imports/{path}/rows", json=rows)).status_code == 200
            begun = await admin.post(f"/v1/imports/{path}/post", json={"rows": 1, "points": points})
            assert (begun.json()["approval_id"] is not None) == asked, begun.text


async def test_a_merge_of_many_points_needs_a_second_person(settings: Settings) -> None:
    operations = [one for one in OTHERS if one.path in MORE]
    async with opened(limited(settings, merge_approval_points=5000), operations) as house:
        support, rich, poor = (
            await house.client("support"),
            await house.customer(),
            await house.customer(),
        )
        await house.accrue(rich, 5001)
        wish = {"into": str(poor), "reason": "one person"}
        first, again = [
            await support.post(f"/v1/customers/{rich}/merge", json=wish) for _ in range(2)
        ]
        assert first.status_code == again.status_code == 202, first.text
        assert first.json() == again.json()
        other = {"into": str(await house.customer()), "reason": "one person"}
        refused = await support.post(f"/v1/customers/{rich}/merge", json=other)
        assert (refused.status_code, refused.json()["code"]) == (409, "approval_pending")
        assert await available(house, rich) == "50.01"

        approve = f"/v1/approvals/{first.json()['approval_id']}/approve"
        assert (await support.post(approve)).status_code == 403
        finance = await house.client("finance")
        done = (await finance.post(approve)).json()
        assert (done["state"], done["result"]["points"]) == ("done", "50.01"), done
        assert done["result"]["author"] == "the support; approved by the finance"
        assert await available(house, poor) == "50.01"
        repeated = await support.post(f"/v1/customers/{rich}/merge", json=wish)
        assert (repeated.status_code, repeated.json()["id"]) == (200, done["result"]["id"])


async def test_a_poor_duplicate_of_a_rich_customer_needs_a_second_person(
    settings: Settings,
) -> None:
    """It moves nothing, but its phone and cards name the rich one from then on."""
    operations = [one for one in OTHERS if one.path in MORE]
    async with opened(limited(settings, merge_approval_points=5000), operations) as house:
        support, rich, own = (
            await house.client("support"),
            await house.customer(),
            await house.customer(),
        )
        await house.accrue(rich, 5001)
        wish = {"into": str(rich), "reason": "one person"}
        assert (await support.post(f"/v1/customers/{own}/merge", json=wish)).status_code == 202


async def test_small_merges_add_up_and_what_is_refused_costs_nothing(settings: Settings) -> None:
    operations = [one for one in OTHERS if one.path in MORE]
    async with opened(limited(settings, merge_approval_points=10_000), operations) as house:
        support, codes, got = await house.client("support"), [], []
        for _ in range(3):
            own, victim = await house.customer(), await house.customer()
            await house.accrue(victim, 9000)
            wish = {"into": str(own), "reason": "one person"}
            nobody = {"into": str(uuid4()), "reason": "one person"}
            path = f"/v1/customers/{victim}/merge"
            assert (await support.post(path, json=nobody)).status_code == 404
            codes.append((await support.post(path, json=wish)).status_code)
            got.append(await available(house, own))
        assert codes == [200, 200, 202]
        assert got == ["90.00", "90.00", "0.00"]
