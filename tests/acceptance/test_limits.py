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


async def test_c2_so_many_times_a_day_under_concurrency(till: Till) -> None:
    """The velocity limit: a card that earns on every receipt of a till is a cashier's."""
    await till.publishes(reward=POINT_FOR_POINT, limits={"times_per_customer_day": 3})
    sales = await asyncio.gather(*(till.sell("30.00") for _ in range(10)))
    assert sorted(accrued(sale) for sale in sales) == ["0.00"] * 7 + ["30.00"] * 3
    _, quote = await till.quote("30.00")
    assert "no more than 3\u00a0times a day" in quote["explanation"][0]["because"]
    for sale in (one for one in sales if one["accruals"]):
        part = await till.take_back(sale)
        assert part["revoked"] == "30.00"
    assert accrued(await till.sell("30.00")) == "30.00"


async def test_sales_and_returns_side_by_side_keep_the_budget(till: Till) -> None:
    """C9: what is given and not returned never exceeds the budget, and all of it is counted."""
    await till.publishes(reward=POINT_FOR_POINT, limits={"budget": "200.00"})
    kept = [await till.sell("30.00") for _ in range(3)]

    async def there_and_back() -> str:
        sale = await till.sell("45.00")
        return str((await till.take_back(sale))["revoked"])

    async def stay() -> Any:
        return await till.sell("20.00")

    stays, backs = await asyncio.gather(
        asyncio.gather(*(stay() for _ in range(8))),
        asyncio.gather(*(there_and_back() for _ in range(8))),
    )
    staying = given([*kept, *stays])
    assert staying <= Decimal("200.00")
    assert f"{staying:.2f}" == await till.balance()
    assert all(Decimal(one) <= Decimal("45.00") for one in backs)
    last = await till.sell("500.00")
    assert given([last]) == Decimal("200.00") - staying


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
    await till.take_back(sale)
    assert accrued(await till.sell("130.00")) == "100.00"
