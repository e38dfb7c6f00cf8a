"""Never late at the till: with every worker off, activation, expiry and the end of a hold come at
their instant (DESIGN 3), over HTTP."""

from __future__ import annotations

import itertools
from datetime import timedelta
from typing import Any

import httpx

from tests.billing.scenarios.house import START, Chain

SECOND = timedelta(seconds=1)
DAY = timedelta(days=1)
_numbers = itertools.count(1)


async def redeem(chain: Chain, customer: str, points: str, **more: Any) -> httpx.Response:
    number = next(_numbers)
    line = {"line": 1, "sku": "milk", "quantity": "10", "price": "50.00", "amount": "500.00"}
    body = {
        "customer": {"customer_id": customer},
        "channel": "shop",
        "store": "333",
        "receipt": {"number": f"r-{number}", "occurred_at": chain.now.isoformat(), "lines": [line]},
        "points": points,
        "mode": "capture",
    }
    headers = {"idempotency-key": f"redeem-{number}"}
    client = await chain.client("admin")
    return await client.post("/v1/redemptions", json=body | more, headers=headers)


async def balance(chain: Chain, customer: str) -> tuple[str, str, str]:
    client = await chain.client()
    found = (await client.get(f"/v1/customers/{customer}/balance")).json()
    return found["available"], found["deferred"], found["held"]


async def test_never_late_at_the_till_deferred_points_are_paid_with_at_their_instant(
    chain: Chain,
) -> None:
    await chain.scenario("registration", available={"at": (START + DAY).isoformat()})
    customer = await chain.customer(channel="shop")
    start = chain.now
    chain.now = start + DAY - SECOND
    assert await balance(chain, customer) == ("0.00", "100.00", "0.00")
    assert (await redeem(chain, customer, "1.00")).json()["code"] == "insufficient_points"
    chain.now = start + DAY
    assert await balance(chain, customer) == ("100.00", "0.00", "0.00")
    assert (await redeem(chain, customer, "100.00")).status_code == 201


async def test_never_late_at_the_till_expired_points_are_gone_at_their_instant(
    chain: Chain,
) -> None:
    end = (START + DAY).isoformat()
    await chain.scenario("registration", expires={"at": end}, valid_to=end)
    customer = await chain.customer(channel="shop")
    start = chain.now
    chain.now = start + DAY - SECOND
    assert (await redeem(chain, customer, "40.00")).status_code == 201
    chain.now = start + DAY
    assert await balance(chain, customer) == ("0.00", "0.00", "0.00")
    assert (await redeem(chain, customer, "1.00")).json()["code"] == "insufficient_points"


async def test_never_late_at_the_till_a_hold_ends_at_its_instant(chain: Chain) -> None:
    await chain.scenario("registration")
    customer = await chain.customer(channel="shop")
    held = await redeem(chain, customer, "70.00", mode="hold", hold_seconds=600)
    start = chain.now
    chain.now = start + 599 * SECOND
    assert await balance(chain, customer) == ("30.00", "0.00", "70.00")
    chain.now = start + 600 * SECOND
    assert await balance(chain, customer) == ("100.00", "0.00", "0.00")
    client = await chain.client()
    capture = await client.post(
        f"/v1/redemptions/{held.json()['id']}/capture",
        json={},
        headers={"idempotency-key": "too-late"},
    )
    assert capture.json()["code"] == "hold_expired"
    assert (await redeem(chain, customer, "100.00")).status_code == 201
