"""Payments with points that need a code of the customer."""

from __future__ import annotations

import asyncio
import itertools
from collections.abc import AsyncIterator
from typing import Any

import httpx
import pytest

from billing.common.settings import Settings
from tests.billing.verifications.house import House, opened, refused

_numbers = itertools.count(1)


@pytest.fixture(scope="session")
async def paying(shared_settings: Settings) -> AsyncIterator[House]:
    """Payments from 100.00 points on need a code."""
    async with opened(shared_settings, redemption_code_from=10_000) as house:
        client = await house.client()
        await client.put("/v1/product-groups/g-codes", json={"name": "x"})
        yield house


async def rich(house: House, points: str = "+1000.00") -> dict[str, Any]:
    customer = await house.customer("verified")
    body = {"customer": {"customer_id": customer["id"]}, "points": points, "reason": "a gift"}
    answer = await post(house, "/v1/adjustments", body)
    assert answer.status_code == 201, answer.text
    return customer


async def post(house: House, path: str, body: Any, key: str = "") -> httpx.Response:
    headers = {"idempotency-key": key or f"paying-{next(_numbers)}"}
    return await (await house.client()).post(path, json=body, headers=headers)


def sale(house: House, customer: str, amount: str = "900.00") -> dict[str, Any]:
    line = {"line": 1, "sku": "x", "group": "g-codes", "quantity": "1", "price": amount}
    return {
        "customer": {"customer_id": customer},
        "channel": "c-codes",
        "store": "s-codes",
        "receipt": {
            "number": f"paying-{next(_numbers)}",
            "occurred_at": house.now.isoformat(),
            "lines": [line | {"amount": amount}],
        },
    }


async def confirmed(house: House, customer: str, **more: Any) -> str:
    more = {"points": "1000.00"} | more
    verification = (await house.started(customer, "redemption", **more))["id"]
    done = await house.confirm(verification, await house.code(verification))
    assert done.status_code == 200, done.text
    return str(verification)


@pytest.mark.parametrize("points", ["100.00", "max"])
@pytest.mark.parametrize("mode", ["capture", "hold"])
async def test_a_redemption_above_the_sum_needs_a_code(
    paying: House, points: str, mode: str
) -> None:
    customer = await rich(paying)
    body = sale(paying, customer["id"]) | {"points": points, "mode": mode}
    refused(await post(paying, "/v1/redemptions", body), 409, "verification_required")
    verification = await confirmed(paying, customer["id"])
    done = await post(paying, "/v1/redemptions", body | {"verification_id": verification})
    assert done.status_code == 201, done.text
    less = sale(paying, customer["id"]) | {"points": "99.99", "mode": mode}
    assert (await post(paying, "/v1/redemptions", less)).status_code == 201


async def test_a_sale_too_and_one_code_pays_once(paying: House) -> None:
    """Also when twenty tills use it at the same time; and a retry hears its own answer."""
    customer = await rich(paying)
    needs = sale(paying, customer["id"]) | {"redeem": {"points": "100.00"}}
    refused(await post(paying, "/v1/receipts", needs), 409, "verification_required")
    redeem = {"points": "20.00", "verification_id": await confirmed(paying, customer["id"])}
    bodies = [sale(paying, customer["id"]) | {"redeem": redeem} for _ in range(20)]
    keys = [f"paying-once-{next(_numbers)}" for _ in bodies]
    answers = await asyncio.gather(
        *(post(paying, "/v1/receipts", body, key) for body, key in zip(bodies, keys, strict=True))
    )
    (won,) = [i for i, answer in enumerate(answers) if answer.status_code == 201]
    for answer in answers[:won] + answers[won + 1 :]:
        refused(answer, 409, "verification_used")
    paying.later(minutes=11)
    again = await post(paying, "/v1/receipts", bodies[won], keys[won])
    assert (again.status_code, again.headers["idempotency-hit"]) == (201, "true")


async def test_a_verification_is_good_for_its_customer_time_purpose_and_sum_only(
    paying: House,
) -> None:
    customer, other = await rich(paying), await rich(paying)
    theirs = await confirmed(paying, other["id"])
    registration = (await paying.started(customer["id"]))["id"]
    await paying.confirm(registration, await paying.code(registration))
    paying.later(minutes=5)
    open_ = (await paying.started(customer["id"], "redemption"))["id"]
    redeem = sale(paying, customer["id"]) | {"points": "100.00"}
    for bad in (theirs, registration, open_, "0196f3c8-0000-7000-8000-000000000000"):
        answer = await post(paying, "/v1/redemptions", redeem | {"verification_id": bad})
        refused(answer, 409, "verification_required")
    paying.later(minutes=5)
    few = await confirmed(paying, customer["id"], points="150.00")
    over = sale(paying, customer["id"]) | {"points": "150.01", "verification_id": few}
    refused(await post(paying, "/v1/redemptions", over), 409, "verification_required")
    within = sale(paying, customer["id"]) | {"points": "150.00", "verification_id": few}
    assert (await post(paying, "/v1/redemptions", within)).status_code == 201
    paying.later(minutes=10)
    old = await confirmed(paying, customer["id"])
    paying.later(minutes=10)
    late = sale(paying, customer["id"]) | {"points": "100.00", "verification_id": old}
    refused(await post(paying, "/v1/redemptions", late), 409, "verification_required")
