"""Limits hold however many tills ask at once, and go back with returns (C2, C9)."""

from __future__ import annotations

import asyncio
from decimal import Decimal
from typing import Any

import pytest

from tests.acceptance.shop import Shop, done
from tests.acceptance.till import Till, accrued

POINT_FOR_POINT = {"kind": "percent", "value": "100"}
FIRST = {"field": "receipt.first_purchase", "op": "=", "value": True}
LATER = {"field": "receipt.first_purchase", "op": "=", "value": False}
HUNDRED = {"field": "receipt.total", "op": ">=", "value": "100.00"}


def given(sales: list[Any]) -> Decimal:
    return sum((Decimal(accrued(sale)) for sale in sales), Decimal())


async def test_a_customers_day_under_concurrency(till: Till) -> None:
    await till.publishes(reward=POINT_FOR_POINT, limits={"per_customer_day": "250.00"})
    sales = await asyncio.gather(*(till.sell("30.00") for _ in range(20)))
    assert given(sales) == Decimal("250.00")
    assert await till.balance() == "250.00"
    assert accrued(await till.sell("30.00")) == "0.00"


async def test_a_budget_of_all_customers_under_concurrency(till: Till) -> None:
    await till.publishes(reward=POINT_FOR_POINT, limits={"budget": "500.00"})
    others = [await Shop(till.shop.client).open() for _ in range(5)]
    bodies = [
        till.basket("30.00") | {"customer": {"phone": shop.phone}}
        for shop in (till.shop, *others)
        for _ in range(5)
    ]
    answers = await asyncio.gather(*(till.shop.post("/v1/receipts", body) for body in bodies))
    assert given([done(answer) for answer in answers]) == Decimal("500.00")


async def test_a_limit_per_receipt(till: Till) -> None:
    await till.publishes(reward=POINT_FOR_POINT, limits={"per_receipt": "20.00"})
    sale = await till.sell("30.00", "90.00")
    assert accrued(sale) == "20.00"
    assert [line["accruals"][0]["points"] for line in sale["lines"]] == ["5.00", "15.00"]


async def test_a_first_purchase_gives_once_under_concurrency(till: Till) -> None:
    await till.publishes(
        type="scenario", scenario={"on": "first_purchase"}, reward={"kind": "fixed", "value": "50"}
    )
    sales = await asyncio.gather(*(till.sell("30.00") for _ in range(8)))
    assert sorted(accrued(sale) for sale in sales) == ["0.00"] * 7 + ["50.00"]
    assert accrued(await till.sell("30.00")) == "0.00"


async def test_a_condition_on_the_first_purchase_gives_once_under_concurrency(till: Till) -> None:
    await till.publishes(
        reward={"kind": "fixed", "value": "50"},
        when={"all": [{"field": "receipt.first_purchase", "op": "=", "value": True}]},
    )
    sales = await asyncio.gather(*(till.sell("30.00") for _ in range(8)))
    assert sorted(accrued(sale) for sale in sales) == ["0.00"] * 7 + ["50.00"]


@pytest.mark.parametrize(
    ("when", "given"),
    [
        (LATER, ["0.00", "5.00", "5.00"]),
        ({"not": FIRST}, ["0.00", "5.00", "5.00"]),
        ({"any": [FIRST, HUNDRED]}, ["5.00", "5.00", "5.00"]),
        ({"all": [HUNDRED, {"all": [FIRST]}]}, ["5.00", "0.00", "0.00"]),
    ],
)
async def test_only_what_demands_a_first_purchase_gives_once(
    till: Till, when: dict[str, Any], given: list[str]
) -> None:
    await till.publishes(reward={"kind": "percent", "value": "5"}, when=when)
    assert [accrued(await till.sell("100.00")) for _ in given] == given


async def test_a_limit_in_a_batch_counts_each_operation(till: Till) -> None:
    """Commands of one group see what the ones before them used."""
    await till.publishes(reward=POINT_FOR_POINT, limits={"per_customer_day": "100.00"})
    operations = [
        {
            "kind": "accrual",
            "idempotency_key": f"{till.shop.store}-{n}",
            "body": till.basket("30.00"),
        }
        for n in range(5)
    ]
    results = done(await till.shop.client.post("/v1/batches", json={"operations": operations}))
    earned = [accrued(one["body"]) for one in results["results"]]
    assert earned == ["30.00", "30.00", "30.00", "10.00", "0.00"]


async def test_a_return_gives_the_day_back(till: Till) -> None:
    await till.publishes(reward=POINT_FOR_POINT, limits={"per_customer_day": "100.00"})
    sale = await till.sell("100.00")
    assert accrued(await till.sell("30.00")) == "0.00"
    back = {
        "channel": till.shop.channel,
        "store": till.shop.store,
        "number": f"back-{sale['receipt_number']}",
        "occurred_at": till.basket("1.00")["receipt"]["occurred_at"],
        "receipt_number": sale["receipt_number"],
    }
    done(await till.shop.post("/v1/returns", back))
    assert accrued(await till.sell("130.00")) == "100.00"
