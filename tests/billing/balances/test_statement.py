"""GET /v1/customers/{id}/statement (spec: Balance and statement)."""

from __future__ import annotations

import base64
from datetime import timedelta
from typing import Any
from uuid import UUID

import msgspec
import pytest

from billing.balances.model import receipt_of
from billing.balances.schemas import StatementPage
from ledger.commands import Accrue, Grant, Redeem, Restore
from tests.billing.balances.house import DAY, START, House


async def statement(house: House, customer: UUID, limit: int = 100) -> list[Any]:
    path = f"/v1/customers/{customer}/statement"
    msgspec.convert(await house.get(path, limit=limit), StatementPage)
    return await house.pages(path, limit)


async def test_a_sale_an_activation_and_a_restoration_newest_first(house: House) -> None:
    customer = await house.customer()
    await house.accrue(customer, 1000, after=DAY, program="base-5")
    house.clock.now = START + 2 * DAY
    sale = await house.do(
        customer,
        "receipt",
        Redeem(400),
        Accrue(tuple(Grant("base", ((None, 50),), program=name) for name in ("gift", "base-5"))),
        channel="shop",
        store="moscow-1",
        source="sale/s/moscow-1/0001-000123",
    )
    back = await house.do(customer, "restoration", Restore(sale.id, 150))

    newest, posted, activation, earned = await statement(house, customer)

    assert newest["transaction_id"] == str(back.id)
    assert (newest["corrects"], newest["receipt"]) == (str(sale.id), None)
    assert posted == {
        "transaction_id": str(sale.id),
        "version": 3,
        "kind": "receipt",
        "occurred_at": "2027-03-03T12:00:00+03:00",
        "recorded_at": "2027-03-03T12:00:00+03:00",
        "points": "-3.00",
        "available_after": "7.00",
        "deferred_after": "0.00",
        "held_after": "0.00",
        "debt_after": "0.00",
        "store": "moscow-1",
        "channel": "shop",
        "receipt": "0001-000123",
        "program": None,
        "programs": ["base-5", "gift"],
        "corrects": None,
    }
    assert (activation["kind"], activation["points"]) == ("activation", "0.00")
    assert activation["occurred_at"] == "2027-03-02T12:00:00+03:00"
    assert (earned["points"], earned["deferred_after"]) == ("10.00", "10.00")
    assert (earned["program"], earned["programs"]) == ("base-5", ["base-5"])


@pytest.mark.parametrize("limit", [1, 3, 7, 12, 500])
async def test_pages_have_neither_gaps_nor_repeats(house: House, limit: int) -> None:
    customer, other = await house.customer(), await house.customer()
    for points in range(1, 13):
        house.clock.now += timedelta(seconds=1)
        await house.accrue(customer, points)
        await house.accrue(other, 1000)

    found = await statement(house, customer, limit)

    assert [one["version"] for one in found] == list(range(12, 0, -1))
    assert [one["points"] for one in found] == [f"0.{n:02d}" for n in range(12, 0, -1)]


@pytest.mark.parametrize("cursor", ["[0]", "[99999999999999999999]", '["1"]', "[]", "x", "[1,1]"])
async def test_cursors_that_are_not_ours_are_refused(shared_house: House, cursor: str) -> None:
    customer = await shared_house.customer()
    made = base64.urlsafe_b64encode(cursor.encode()).decode().rstrip("=")
    client = await shared_house.client()

    answer = await client.get(f"/v1/customers/{customer}/statement", params={"cursor": made})

    assert answer.status_code == 400
    assert answer.json()["errors"][0]["pointer"] == "/query/cursor"


@pytest.mark.parametrize(
    ("source", "receipt"),
    [
        ("sale/s/moscow-1/0001-000123", "0001-000123"),
        ("sale/c/site/A1", "A1"),
        ("redemption/s/moscow-1/7", "7"),
        ("return/s/moscow-1/7", "7"),
        ("sale/x/moscow-1/7", None),
        ("sale/s/moscow-1/", None),
        ("sale/s", None),
        ("///", None),
        ("", None),
        (None, None),
    ],
)
def test_the_receipt_number_is_read_from_sources_of_receipts_only(
    source: str | None, receipt: str | None
) -> None:
    assert receipt_of(source) == receipt
