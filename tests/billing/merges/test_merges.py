"""Duplicates become one customer, points and all; and two again (issue: merge, trace and undo)."""

from __future__ import annotations

import asyncio
from typing import Any
from uuid import UUID

import asyncpg
import pytest

from billing.common import deadline
from ledger.audit import audit
from ledger.commands import Adjust, Command
from tests.billing.verifications.house import House, refused
from tests.billing.verifications.test_paying import post, sale
from tests.conftest import TestDatabase

WAITING = """
SELECT count(*) FROM pg_stat_activity
WHERE datname = current_database() AND wait_event_type = 'Lock'
"""


async def give(house: House, customer: str, points: str, **more: Any) -> None:
    body = {"customer": {"customer_id": customer}, "points": points, "reason": "a gift"}
    answer = await post(house, "/v1/adjustments", body | more)
    assert answer.status_code == 201, answer.text


async def balance(house: House, customer: str) -> dict[str, Any]:
    answer = await (await house.client()).get(f"/v1/customers/{customer}/balance")
    return dict(answer.json())


async def merge(house: House, duplicate: str, into: str) -> Any:
    client = await house.client("support")
    body = {"into": into, "reason": "one person"}
    return await client.post(f"/v1/customers/{duplicate}/merge", json=body)


async def merged(house: House, duplicate: str, into: str) -> dict[str, Any]:
    answer = await merge(house, duplicate, into)
    assert answer.status_code == 200, answer.text
    return dict(answer.json())


async def undo(house: House, merge_id: str) -> Any:
    return await (await house.client("support")).post(f"/v1/merges/{merge_id}/undo")


async def two(house: House) -> tuple[dict[str, Any], dict[str, Any]]:
    return await house.customer("verified", cards=["d-1"]), await house.customer("verified")


@pytest.fixture
async def grocer(house: House) -> House:
    client = await house.client()
    await client.put("/v1/product-groups/g-codes", json={"name": "x"})
    body = {
        "code": "ten",
        "name": "ten",
        "type": "accrual",
        "valid_from": "2027-01-01T00:00:00+03:00",
        "reward": {"kind": "percent", "value": "10"},
    }
    assert (await client.post("/v1/programs", json=body)).status_code == 201
    assert (await client.post("/v1/programs/ten/publish", json={})).status_code == 200
    return house


async def test_points_move_with_their_dates_and_both_are_found_as_one(
    house: House, database: TestDatabase
) -> None:
    duplicate, survivor = await two(house)
    soon = {"bucket": "promo", "expires_at": "2027-04-01T00:00:00+03:00"}
    later = {"bucket": "base", "available_from": "2027-05-01T00:00:00+03:00"}
    await give(house, duplicate["id"], "+70.00", **soon)
    await give(house, duplicate["id"], "+30.00", **later)
    await give(house, survivor["id"], "+5.00", bucket="base")
    done = await merged(house, duplicate["id"], survivor["id"])
    assert (done["points"], done["into"], done["undone_at"]) == ("100.00", survivor["id"], None)
    now = await balance(house, survivor["id"])
    assert (now["available"], now["promo"], now["deferred"]) == ("75.00", "70.00", "30.00")
    assert now["expiring"][0]["at"] == "2027-04-01T00:00:00+03:00"
    assert now["future_accruals"][0]["at"] == "2027-05-01T00:00:00+03:00"
    assert (await balance(house, duplicate["id"]))["available"] == "0.00"
    client = await house.client()
    for params in ({"phone": duplicate["phone"]}, {"card": "d-1"}, {"phone": survivor["phone"]}):
        (found,) = (await client.get("/v1/customers", params=params)).json()["items"]
        assert found["id"] == survivor["id"]
    resolve = house.services.directory.resolve
    for found_ in (
        await resolve(customer_id=UUID(duplicate["id"])),
        await resolve(phone=duplicate["phone"]),
        await resolve(card="d-1"),
    ):
        assert found_ is not None
        assert str(found_.id) == survivor["id"]
    left = (await client.get(f"/v1/customers/{duplicate['id']}")).json()
    assert left["merged_into"] == survivor["id"]
    auditor = await asyncpg.connect(database.owner_url)
    assert (await audit(auditor)).findings == []
    await auditor.close()


async def test_a_merge_asked_for_twice_and_at_once_happens_once(house: House) -> None:
    duplicate, survivor = await two(house)
    await give(house, duplicate["id"], "+10.00", bucket="base")
    answers = await asyncio.gather(
        *(merge(house, duplicate["id"], survivor["id"]) for _ in range(6))
    )
    assert {answer.status_code for answer in answers} == {200}
    assert len({answer.json()["id"] for answer in answers}) == 1
    assert (await balance(house, survivor["id"]))["available"] == "10.00"
    path = f"/v1/customers/{survivor['id']}/merges"
    assert len((await (await house.client("finance")).get(path)).json()["items"]) == 1


async def test_each_into_the_other_at_once_leaves_one(house: House) -> None:
    one, other = await two(house)
    answers = await asyncio.gather(
        merge(house, one["id"], other["id"]), merge(house, other["id"], one["id"])
    )
    assert sorted(answer.status_code for answer in answers) == [200, 409]


async def test_undone_the_moved_lots_go_back_as_far_as_they_are_there(
    grocer: House, database: TestDatabase
) -> None:
    """What was spent meanwhile stays spent; the survivor's own points are left alone."""
    duplicate, survivor = await two(grocer)
    await give(
        grocer, duplicate["id"], "+100.00", bucket="promo",
        expires_at="2027-04-01T00:00:00+03:00",
    )  # fmt: skip
    await give(grocer, duplicate["id"], "+7.00", bucket="base",
               available_from="2027-05-01T00:00:00+03:00")  # fmt: skip
    await give(
        grocer, survivor["id"], "+50.00", bucket="promo", expires_at="2027-03-20T00:00:00+03:00"
    )
    done = await merged(grocer, duplicate["id"], survivor["id"])
    paid = sale(grocer, survivor["id"]) | {"points": "80.00"}
    assert (await post(grocer, "/v1/redemptions", paid)).status_code == 201
    for _ in range(2):
        answer = await undo(grocer, done["id"])
        assert answer.status_code == 200, answer.text
    assert answer.json()["points"] == "30.00", "so many did not come back"
    back = await balance(grocer, duplicate["id"])
    assert (back["available"], back["deferred"]) == ("70.00", "7.00")
    assert back["expiring"][0]["at"] == "2027-04-01T00:00:00+03:00"
    assert (await balance(grocer, survivor["id"]))["available"] == "0.00"
    client = await grocer.client()
    (found,) = (await client.get("/v1/customers", params={"card": "d-1"})).json()["items"]
    assert (found["id"], found["merged_into"]) == (duplicate["id"], None)
    auditor = await asyncpg.connect(database.owner_url)
    assert (await audit(auditor)).findings == []
    await auditor.close()


async def test_what_comes_to_the_merged_one_later_is_the_survivors_and_so_is_its_debt(
    grocer: House,
) -> None:
    """C1, C6: a sale of before, returned after the merge, takes its points from the survivor."""
    duplicate, survivor = await two(grocer)
    bought = sale(grocer, duplicate["id"])
    assert (await post(grocer, "/v1/receipts", bought)).status_code == 201
    await merged(grocer, duplicate["id"], survivor["id"])
    assert (await balance(grocer, survivor["id"]))["available"] == "90.00"
    back = {
        "channel": "c-codes", "store": "s-codes", "number": "back-1",
        "occurred_at": grocer.now.isoformat(), "receipt_number": bought["receipt"]["number"],
        "lines": [{"line": 1, "quantity": "1"}],
    }  # fmt: skip
    assert (await post(grocer, "/v1/returns", back)).status_code == 201
    deadline.start(30)
    assert await grocer.services.merges.settling.sweep() == 1
    assert (await balance(grocer, survivor["id"]))["available"] == "0.00"
    left = await balance(grocer, duplicate["id"])
    assert (left["available"], left["debt"]) == ("0.00", "0.00")
    assert await grocer.services.merges.settling.sweep() == 0


async def test_a_merge_that_is_refused_does_not_hold_up_the_others(
    house: House, monkeypatch: pytest.MonkeyPatch
) -> None:
    people = [await house.customer("verified") for _ in range(4)]
    pairs = [(people[0], people[1]), (people[2], people[3])]
    for duplicate, survivor in pairs:
        await merged(house, duplicate["id"], survivor["id"])
        await give(house, survivor["id"], "+1.00", bucket="base")
    for (duplicate, _), points in zip(pairs, (5000, 100), strict=True):
        await house.services.ledger.execute(
            Command(
                customer_id=UUID(duplicate["id"]), kind="adjustment", occurred_at=house.now,
                steps=(Adjust(points, "base"),), author="test",
            )
        )  # fmt: skip
    monkeypatch.setattr("ledger.draft.LIMIT", 1000)
    deadline.start(30)
    assert await house.services.merges.settling.sweep() == 2
    left = [(await balance(house, survivor["id"]))["available"] for _, survivor in pairs]
    assert left == ["1.00", "2.00"]
    monkeypatch.undo()
    assert await house.services.merges.settling.sweep() == 1
    assert (await balance(house, pairs[0][1]["id"]))["available"] == "51.00"


async def test_a_chain_of_merges_is_one_customer_and_is_undone_from_its_end(house: House) -> None:
    (a, b), c = await two(house), await house.customer("verified")
    await give(house, a["id"], "+10.00", bucket="base")
    first = await merged(house, a["id"], b["id"])
    second = await merged(house, b["id"], c["id"])
    client = await house.client()
    (found,) = (await client.get("/v1/customers", params={"card": "d-1"})).json()["items"]
    assert found["id"] == c["id"]
    assert (await balance(house, c["id"]))["available"] == "10.00"
    refused(await undo(house, first["id"]), 409, "merge_not_possible")
    assert (await undo(house, second["id"])).status_code == 200
    (found,) = (await client.get("/v1/customers", params={"card": "d-1"})).json()["items"]
    assert found["id"] == b["id"]
    assert (await balance(house, b["id"]))["available"] == "10.00"
    assert (await undo(house, first["id"])).status_code == 200
    assert (await balance(house, a["id"]))["available"] == "10.00"


async def test_what_cannot_be_merged_says_why(house: House) -> None:
    verified, other = await two(house)
    unverified = await house.customer()
    refused(await merge(house, verified["id"], unverified["id"]), 409, "merge_not_possible")
    refused(await merge(house, verified["id"], verified["id"]), 400, "validation_failed")
    nobody = "0196f3c8-0000-7000-8000-000000000000"
    refused(await merge(house, verified["id"], nobody), 404, "not_found")
    await merged(house, unverified["id"], verified["id"])
    refused(await merge(house, unverified["id"], other["id"]), 409, "customer_merged")
    refused(await merge(house, other["id"], unverified["id"]), 409, "customer_merged")
    refused(await house.start(unverified["id"]), 409, "customer_merged")
    client = await house.client("support")
    for one in (other, verified):
        await client.patch(f"/v1/customers/{one['id']}", json={"status": "blocked"})
    refused(await merge(house, other["id"], verified["id"]), 409, "customer_blocked")
    refused(await undo(house, nobody), 404, "not_found")


async def test_reserved_points_hold_a_merge_up(grocer: House) -> None:
    duplicate, survivor = await two(grocer)
    await give(grocer, duplicate["id"], "+10.00", bucket="base")
    held = sale(grocer, duplicate["id"]) | {"points": "5.00", "mode": "hold"}
    reserved = (await post(grocer, "/v1/redemptions", held)).json()
    refused(await merge(grocer, duplicate["id"], survivor["id"]), 409, "merge_not_possible")
    await post(grocer, f"/v1/redemptions/{reserved['id']}/release", None)
    assert (await merged(grocer, duplicate["id"], survivor["id"]))["points"] == "10.00"


@pytest.mark.parametrize("undoing", [False, True], ids=["merge", "undo"])
async def test_who_was_merged_before_is_locked_in_the_same_order(
    house: House, database: TestDatabase, *, undoing: bool
) -> None:
    """By id, like an erasure: while it waits for the first row it holds none of the others, so
    that the two never wait for each other in a ring."""
    first, duplicate, survivor = [(await house.customer("verified"))["id"] for _ in range(3)]
    assert first < duplicate < survivor
    await merged(house, first, duplicate)
    made = await merged(house, duplicate, survivor) if undoing else None
    other = await asyncpg.connect(database.superuser_url)
    holding = other.transaction()
    await holding.start()
    lock = "SELECT FROM billing.customers WHERE id = $1 FOR UPDATE NOWAIT"
    await other.execute(lock, first)
    going = asyncio.create_task(
        undo(house, made["id"]) if made is not None else merge(house, duplicate, survivor)
    )
    async with asyncio.timeout(5):
        while not await other.fetchval(WAITING):  # noqa: ASYNC110
            await asyncio.sleep(0.005)
    await other.execute(lock, duplicate)
    await other.execute(lock, survivor)
    await holding.commit()
    await other.close()
    assert (await going).status_code == 200
