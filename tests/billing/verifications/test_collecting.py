"""What a customer may do who has not confirmed the phone yet (B20, T50): a setting."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from typing import Any

import asyncpg
import pytest

from billing.common.settings import Settings
from ledger.audit import audit
from tests.billing.verifications.house import House, opened, refused
from tests.billing.verifications.test_paying import post, sale
from tests.conftest import TestDatabase


async def _program(house: House, code: str, **more: Any) -> None:
    client = await house.client()
    body = {
        "code": code,
        "name": code,
        "type": "accrual",
        "valid_from": "2027-01-01T00:00:00+03:00",
        "reward": {"kind": "percent", "value": "10"},
        "scope": {"channels": ["c-codes"]},
    }
    made = await client.post("/v1/programs", json=body | more)
    assert made.status_code == 201, made.text
    await client.put("/v1/product-groups/g-codes", json={"name": "x"})
    published = await client.post(f"/v1/programs/{code}/publish", json={})
    assert published.status_code == 200, published.text


@pytest.fixture
async def collecting(settings: Settings) -> AsyncIterator[House]:
    async with opened(settings, unverified="collect") as house:
        await _program(house, "ten")
        yield house


async def _balance(house: House, customer: str) -> dict[str, Any]:
    answer = await (await house.client()).get(f"/v1/customers/{customer}/balance")
    return dict(answer.json())


async def _verify(house: House, customer: str) -> None:
    verification = (await house.started(customer))["id"]
    done = await house.confirm(verification, await house.code(verification))
    assert done.status_code == 200, done.text


async def test_collected_points_wait_and_become_available_when_verified(
    collecting: House, database: TestDatabase
) -> None:
    house = collecting
    await _program(house, "later", available={"after": "P14D"}, stacking={"group": "other"})
    customer = await house.customer()
    sold = (await post(house, "/v1/receipts", sale(house, customer["id"]))).json()
    by_program = {one["program"]: one["available_from"] for one in sold["accruals"]}
    assert by_program["ten"] is None
    assert by_program["later"].startswith("2027-03-15")
    balance = await _balance(house, customer["id"])
    assert (balance["available"], balance["deferred"]) == ("0.00", "180.00")
    assert balance["awaiting_verification"] == "90.00"
    assert [one["points"] for one in balance["future_accruals"]] == ["90.00"]
    assert any("Once confirmed" in row and "90.00" in row for row in sold["slip"]["text"])
    redeem = sale(house, customer["id"]) | {"redeem": {"points": "1.00"}}
    refused(await post(house, "/v1/receipts", redeem), 409, "customer_not_verified")
    paid = sale(house, customer["id"]) | {"points": "1.00"}
    refused(await post(house, "/v1/redemptions", paid), 409, "customer_not_verified")
    await _verify(house, customer["id"])
    balance = await _balance(house, customer["id"])
    assert (balance["available"], balance["deferred"]) == ("90.00", "90.00")
    assert "awaiting_verification" not in balance
    assert (await post(house, "/v1/redemptions", paid)).status_code == 201
    auditor = await asyncpg.connect(database.owner_url)
    assert (await audit(auditor)).findings == []
    await auditor.close()


async def test_sales_while_the_code_is_confirmed_leave_nothing_waiting(
    collecting: House,
) -> None:
    """A sale that began before and ends after the verification: its points are available."""
    house = collecting
    for _ in range(4):
        customer = await house.customer()
        verification = (await house.started(customer["id"]))["id"]
        code = await house.code(verification)
        sales = [post(house, "/v1/receipts", sale(house, customer["id"])) for _ in range(6)]
        answers = await asyncio.gather(*sales[:3], house.confirm(verification, code), *sales[3:])
        assert {answer.status_code for answer in answers} == {200, 201}
        balance = await _balance(house, customer["id"])
        assert (balance["available"], balance["deferred"]) == ("540.00", "0.00")


async def test_a_process_that_died_after_the_code_leaves_the_rest_to_the_sweep(
    collecting: House,
) -> None:
    house = collecting
    customer = await house.customer()
    await post(house, "/v1/receipts", sale(house, customer["id"]))
    verification = (await house.started(customer["id"]))["id"]
    code = await house.code(verification)
    assert await house.services.verifications.confirm_by_reply(customer["phone"], code) == (
        "confirmed"
    )
    assert (await _balance(house, customer["id"]))["available"] == "0.00"
    assert await house.services.waiting_scenarios.sweep() >= 1
    assert (await _balance(house, customer["id"]))["available"] == "90.00"
    assert await house.services.waiting_scenarios.sweep() == 0


async def test_a_returned_sale_takes_back_what_waits_and_what_waits_may_expire(
    collecting: House,
) -> None:
    house = collecting
    await _program(house, "short", expires={"after": "P1D"}, stacking={"group": "other"})
    customer = await house.customer()
    body = sale(house, customer["id"])
    await post(house, "/v1/receipts", body)
    back = {
        "channel": "c-codes",
        "store": "s-codes",
        "number": "r-1",
        "occurred_at": house.now.isoformat(),
        "receipt_number": body["receipt"]["number"],
        "lines": [{"line": 1, "quantity": "1"}],
    }
    returned = await post(house, "/v1/returns", back)
    assert returned.status_code == 201, returned.text
    assert (await _balance(house, customer["id"]))["deferred"] == "0.00"
    await post(house, "/v1/receipts", sale(house, customer["id"]))
    house.later(days=2)
    await _verify(house, customer["id"])
    assert (await _balance(house, customer["id"]))["available"] == "90.00"


async def test_a_quote_of_who_waits_holds_until_the_customer_is_verified(
    collecting: House,
) -> None:
    house = collecting
    customer = await house.customer()
    body = sale(house, customer["id"])
    quote = (await (await house.client()).post("/v1/quotes", json=body)).json()
    assert (quote["max_redeemable"], quote["accruals"][0]["available_from"]) == ("0.00", None)
    again = (await (await house.client()).post("/v1/quotes", json=body)).json()
    sold = await post(house, "/v1/receipts", body | {"quote_id": quote["quote_id"]})
    assert sold.status_code == 201, sold.text
    await _verify(house, customer["id"])
    other = sale(house, customer["id"]) | {"quote_id": again["quote_id"]}
    refused(await post(house, "/v1/receipts", other), 409, "quote_stale")


async def test_the_blocked_and_lost_cards_collect_nothing(collecting: House) -> None:
    house = collecting
    customer = await house.customer(cards=["lost-1", "kept-1"])
    client = await house.client("pos")
    path = f"/v1/customers/{customer['id']}/cards/lost-1"
    assert (await client.patch(path, json={"blocked": True})).status_code == 200
    for role in ("pos", "site"):
        helpful = await (await house.client(role)).patch(path, json={"blocked": False})
        refused(helpful, 403, "forbidden")
    lost = sale(house, customer["id"]) | {"customer": {"card": "lost-1"}}
    assert (
        "card is blocked"
        in refused(await post(house, "/v1/receipts", lost), 409, "customer_blocked")["detail"]
    )
    kept = sale(house, customer["id"]) | {"customer": {"card": "kept-1"}}
    assert (await post(house, "/v1/receipts", kept)).status_code == 201
    support = await house.client("support")
    await support.patch(f"/v1/customers/{customer['id']}", json={"status": "blocked"})
    refused(await post(house, "/v1/receipts", sale(house, customer["id"])), 409, "customer_blocked")


async def test_all_lets_the_unverified_spend_and_refuse_lets_them_do_nothing(
    settings: Settings,
) -> None:
    async with opened(settings, unverified="all") as house:
        await _program(house, "ten")
        customer = await house.customer()
        await post(house, "/v1/receipts", sale(house, customer["id"]))
        redeem = sale(house, customer["id"]) | {"redeem": {"points": "1.00"}}
        assert (await post(house, "/v1/receipts", redeem)).status_code == 201
    async with opened(settings) as house:
        refused(
            await post(house, "/v1/receipts", sale(house, customer["id"])),
            409,
            "customer_not_verified",
        )
