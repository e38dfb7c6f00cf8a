"""Four eyes: above a limit one asks, another approves, both stand in the ledger."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from typing import Any
from uuid import uuid4

import httpx
import pytest

from tests.billing.conftest import Caller

BIG, SMALL = "100000.01", "100000.00"


def keyed() -> dict[str, str]:
    return {"idempotency-key": uuid4().hex}


async def new_customer(admin: httpx.AsyncClient, phone: Callable[[], str]) -> str:
    made = await admin.post("/v1/customers", json={"phone": phone(), "status": "verified"})
    assert made.status_code == 201, made.text
    return str(made.json()["id"])


async def balance(client: httpx.AsyncClient, customer: str) -> str:
    return str((await client.get(f"/v1/customers/{customer}/balance")).json()["available"])


def adjustment(customer: str, points: str) -> dict[str, Any]:
    return {"customer": {"customer_id": customer}, "points": points, "reason": "claim 7"}


@pytest.fixture
async def customer(admin: httpx.AsyncClient, phone: Callable[[], str]) -> str:
    return await new_customer(admin, phone)


@pytest.fixture
async def anna(caller: Caller) -> httpx.AsyncClient:
    return await caller("finance")


@pytest.fixture
async def boris(caller: Caller) -> httpx.AsyncClient:
    return await caller("admin")


async def asked(anna: httpx.AsyncClient, customer: str, points: str = BIG) -> str:
    answer = await anna.post("/v1/adjustments", json=adjustment(customer, points), headers=keyed())
    assert answer.status_code == 202, answer.text
    return str(answer.json()["approval_id"])


async def test_within_the_limit_one_is_enough(anna: httpx.AsyncClient, customer: str) -> None:
    answer = await anna.post("/v1/adjustments", json=adjustment(customer, SMALL), headers=keyed())
    assert answer.status_code == 201
    assert await balance(anna, customer) == SMALL


async def test_above_the_limit_nothing_moves_before_another_approves(
    anna: httpx.AsyncClient, boris: httpx.AsyncClient, customer: str
) -> None:
    approval = await asked(anna, customer)
    assert await balance(anna, customer) == "0.00"
    own = await anna.post(f"/v1/approvals/{approval}/approve")
    assert (own.status_code, own.json()["code"]) == (409, "own_approval")
    done = await boris.post(f"/v1/approvals/{approval}/approve")
    assert done.status_code == 200, done.text
    told = done.json()
    assert (told["state"], told["asked_by"], told["decided_by"]) == (
        "done", "test finance", "test admin",
    )  # fmt: skip
    assert await balance(anna, customer) == BIG
    posted = (await anna.get(f"/v1/ledger/transactions/{told['result']['id']}")).json()
    assert posted["author"] == "test finance; approved by test admin"
    assert posted["source"] == f"approval/{approval}"


async def test_who_asks_twice_with_one_key_asks_once(
    anna: httpx.AsyncClient, customer: str
) -> None:
    headers = keyed()
    first, again = [
        await anna.post("/v1/adjustments", json=adjustment(customer, BIG), headers=headers)
        for _ in range(2)
    ]
    assert first.json() == again.json()
    assert again.headers["idempotency-hit"] == "true"
    other = await anna.post("/v1/adjustments", json=adjustment(customer, "9"), headers=headers)
    assert other.status_code == 422
    bigger = adjustment(customer, "200000.00")
    assert (await anna.post("/v1/adjustments", json=bigger, headers=headers)).status_code == 422


async def test_approved_many_times_at_once_it_happens_once(
    anna: httpx.AsyncClient, boris: httpx.AsyncClient, customer: str
) -> None:
    approval = await asked(anna, customer)
    path = f"/v1/approvals/{approval}/approve"
    answers = await asyncio.gather(*(boris.post(path) for _ in range(8)))
    assert {answer.status_code for answer in answers} <= {200, 409}
    assert await balance(anna, customer) == BIG


async def test_rejected_and_withdrawn_ones_stay_undone(
    anna: httpx.AsyncClient, boris: httpx.AsyncClient, customer: str
) -> None:
    rejected, withdrawn = [await asked(anna, customer) for _ in range(2)]
    no = await boris.post(f"/v1/approvals/{rejected}/reject", json={"reason": "no such claim"})
    assert (no.json()["state"], no.json()["reason"]) == ("rejected", "no such claim")
    foreign = await boris.post(f"/v1/approvals/{withdrawn}/withdraw")
    assert foreign.status_code == 409
    back = await anna.post(f"/v1/approvals/{withdrawn}/withdraw")
    assert back.json()["state"] == "withdrawn"
    for one in (rejected, withdrawn):
        answer = await boris.post(f"/v1/approvals/{one}/approve")
        assert (answer.status_code, answer.json()["code"]) == (409, "approval_state")
    assert await balance(anna, customer) == "0.00"


async def test_what_the_state_has_come_to_refuse_fails_and_says_why(
    anna: httpx.AsyncClient, boris: httpx.AsyncClient, customer: str
) -> None:
    approval = await asked(anna, customer, f"-{BIG}")
    answer = await boris.post(f"/v1/approvals/{approval}/approve")
    assert (answer.status_code, answer.json()["code"]) == (409, "insufficient_points")
    told = (await anna.get(f"/v1/approvals/{approval}")).json()
    assert (told["state"], told["decided_by"]) == ("failed", "test admin")
    assert told["error"]


async def test_a_batch_is_no_way_around(anna: httpx.AsyncClient, customer: str) -> None:
    operations = [
        {"kind": "adjustment", "idempotency_key": uuid4().hex, "body": adjustment(customer, BIG)}
    ]
    results = (await anna.post("/v1/batches", json={"operations": operations})).json()["results"]
    assert (results[0]["status"], results[0]["body"]["code"]) == (409, "approval_needed")
    assert await balance(anna, customer) == "0.00"


async def test_a_transfer_needs_two_and_moves_lots_as_they_are(
    anna: httpx.AsyncClient, boris: httpx.AsyncClient, customer: str, admin: httpx.AsyncClient,
    phone: Callable[[], str],
) -> None:  # fmt: skip
    other = await new_customer(admin, phone)
    await anna.post(
        "/v1/adjustments", headers=keyed(),
        json=adjustment(customer, "50.00") | {"expires_at": "2049-01-01T00:00:00+00:00"},
    )  # fmt: skip
    body = {
        "from": {"customer_id": customer},
        "to": {"customer_id": other},
        "points": "20.00",
        "reason": "a lost card",
    }
    asking = await anna.post("/v1/transfers", json=body, headers=keyed())
    assert asking.status_code == 202
    assert await balance(anna, customer) == "50.00"
    done = await boris.post(f"/v1/approvals/{asking.json()['approval_id']}/approve")
    assert done.json()["result"]["points"] == "20.00"
    assert [await balance(anna, one) for one in (customer, other)] == ["30.00", "20.00"]
    (lot,) = (await anna.get(f"/v1/customers/{other}/lots")).json()["items"]
    assert lot["expires_at"].startswith("2049-01-01")


@pytest.mark.parametrize(
    ("change", "status"),
    [
        ({"points": "0"}, 400),
        ({"points": "-1.00"}, 400),
        ({"reason": " "}, 400),
        ({"to": {"customer_id": str(uuid4())}}, 404),
        ({"to": "from"}, 409),
    ],
)
async def test_a_transfer_that_cannot_be_is_refused_at_once(
    anna: httpx.AsyncClient, customer: str, admin: httpx.AsyncClient, phone: Callable[[], str],
    change: dict[str, Any], status: int,
) -> None:  # fmt: skip
    other = await new_customer(admin, phone)
    if change.get("to") == "from":
        change = {"to": {"customer_id": customer}}
    body = {
        "from": {"customer_id": customer},
        "to": {"customer_id": other},
        "points": "1.00",
        "reason": "x",
    }
    answer = await anna.post("/v1/transfers", json=body | change, headers=keyed())
    assert answer.status_code == status, answer.text


async def test_the_list_shows_what_waits(anna: httpx.AsyncClient, customer: str) -> None:
    wanted = {await asked(anna, customer) for _ in range(3)}
    seen: set[str] = set()
    cursor = None
    while wanted - seen:
        query = {"state": "pending", "kind": "adjustment", "limit": "2"}
        page = (
            await anna.get("/v1/approvals", params=query | ({"cursor": cursor} if cursor else {}))
        ).json()
        assert all(one["state"] == "pending" for one in page["items"])
        seen |= {one["id"] for one in page["items"]}
        cursor = page["next_cursor"]
        assert cursor or not wanted - seen


async def test_roles_and_bound_keys_are_kept_out(caller: Caller, customer: str) -> None:
    anna = await caller("finance")
    approval = await asked(anna, customer)
    for role in ("pos", "support", "bi", "marketer"):
        client = await caller(role)
        answer = await client.post(f"/v1/approvals/{approval}/approve")
        assert answer.status_code == 403
