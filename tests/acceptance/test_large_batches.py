"""An atomic batch is one group of the ledger: what would be too long for one is refused at once."""

from __future__ import annotations

import asyncio
import time
from decimal import Decimal
from typing import Any

import pytest

from tests.acceptance.shop import Shop, done, fresh_key, problem
from tests.acceptance.till import Till

INSTALMENTS = {"instalments": {"count": 24, "every": "P1M"}}
PROGRAMS = 3
FIT = 100
"""So many receipts of 72 postings are no more than a group may be, nor are the lots they meet."""


def batch(shop: Shop, count: int, **more: Any) -> dict[str, Any]:
    operations = [
        {"kind": "receipt", "idempotency_key": fresh_key(), "body": shop.sale()}
        for _ in range(count)
    ]
    return {"mode": "atomic", "operations": operations} | more


@pytest.mark.parametrize(
    "limits", [{}, {"limits": {"per_customer_day": "1000000.00"}}], ids=["plain", "counted"]
)
async def test_the_largest_batch_of_the_dearest_receipts_is_refused_before_its_end(
    till: Till, limits: dict[str, Any]
) -> None:
    """72 postings a receipt: whether they are known before the ledger is asked, or only under the
    customer's lock. A till beside it hardly notices, and nothing is kept of it."""
    shop = till.shop
    for number in range(PROGRAMS):
        await till.publishes(
            reward={"kind": "percent", "value": "24"},
            available=INSTALMENTS,
            stacking={"group": f"g-{number}"},
            **limits,
        )
    large = batch(shop, 1000)
    if not limits:
        # The last one would be refused if it was looked at, and would be told so.
        large["operations"][-1]["body"]["customer"] = {"phone": "+79990009999"}

    async def refused() -> dict[str, Any]:
        began = time.perf_counter()
        answer = await shop.client.post("/v1/batches", json=large)
        assert time.perf_counter() - began < 5
        return problem(answer, 400, "validation_failed")

    async def points() -> Decimal:
        found = done(await shop.client.get("/v1/customers", params={"phone": shop.phone}))
        path = f"/v1/customers/{found['items'][0]['id']}/balance"
        told = done(await shop.client.get(path))
        return Decimal(told["available"]) + Decimal(told["deferred"])

    fault, beside = await asyncio.gather(refused(), shop.post("/v1/receipts", shop.sale()))
    assert fault["errors"][0]["pointer"] == "/operations"
    assert "10000 postings" in fault["detail"]
    assert beside.status_code == 201, beside.text
    assert await points() == 72

    large["operations"] = large["operations"][:FIT]
    results = done(await shop.client.post("/v1/batches", json=large))["results"]
    assert {one["status"] for one in results} == {201}
    assert await points() == 72 * (FIT + 1)
