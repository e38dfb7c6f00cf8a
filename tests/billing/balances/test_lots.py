"""GET /v1/customers/{id}/lots: where the points of each accrual are now."""

from __future__ import annotations

from typing import Any
from uuid import UUID

import msgspec
import pytest

from billing.balances.schemas import LotPage
from ledger.commands import PlaceHold, Redeem
from tests.billing.balances.house import DAY, START, House


async def lots(house: House, customer: UUID, limit: int = 100, **query: Any) -> list[Any]:
    path = f"/v1/customers/{customer}/lots"
    msgspec.convert(await house.get(path, **query), LotPage)
    return await house.pages(path, limit, **query)


async def test_a_lot_says_where_its_points_are(house: House) -> None:
    customer = await house.customer()
    earned = await house.accrue(customer, 1000, "promo", lives=30 * DAY, program="gift")
    await house.do(customer, "redemption", Redeem(250))
    await house.do(customer, "hold", PlaceHold(100, START + DAY))

    assert await lots(house, customer) == [
        {
            "id": str(earned.postings[0].lot_id),
            "bucket": "promo",
            "points": "10.00",
            "available": "6.50",
            "deferred": "0.00",
            "held": "1.00",
            "redeemed": "2.50",
            "revoked": "0.00",
            "available_from": "2027-03-01T12:00:00+03:00",
            "expires_at": "2027-03-31T12:00:00+03:00",
            "program": "gift",
            "program_version": 1,
            "occurred_at": "2027-03-01T12:00:00+03:00",
        }
    ]


async def test_what_is_due_is_shown_as_it_is_now_without_workers(house: House) -> None:
    customer = await house.customer()
    await house.accrue(customer, 300, after=DAY)
    await house.accrue(customer, 200, lives=3 * DAY)
    await house.do(customer, "hold", PlaceHold(200, START + 2 * DAY))

    async def now(moment: Any) -> list[tuple[str, str, str]]:
        house.clock.now = moment
        found = await lots(house, customer)
        one_by_one = await lots(house, customer, 1)
        assert one_by_one == found
        return [(one["deferred"], one["available"], one["held"]) for one in found]

    assert await now(START) == [("0.00", "0.00", "2.00"), ("3.00", "0.00", "0.00")]
    assert await now(START + DAY) == [("0.00", "0.00", "2.00"), ("0.00", "3.00", "0.00")]
    assert await now(START + 2 * DAY) == [("0.00", "2.00", "0.00"), ("0.00", "3.00", "0.00")]
    assert await now(START + 3 * DAY) == [("0.00", "0.00", "0.00"), ("0.00", "3.00", "0.00")]
    for open_, points in (("true", ["3.00"]), ("false", ["2.00"])):
        found = await lots(house, customer, open=open_)
        assert [one["points"] for one in found] == points


@pytest.mark.parametrize("limit", [1, 4, 10, 500])
async def test_pages_have_neither_gaps_nor_repeats(house: House, limit: int) -> None:
    customer = await house.customer()
    made = []
    for number in range(10):
        earned = await house.accrue(customer, 100, lives=DAY if number % 3 else None)
        made.append(str(earned.postings[0].lot_id))
    house.clock.now = START + DAY

    found = await lots(house, customer, limit)
    open_ = await lots(house, customer, limit, open="true")
    closed = await lots(house, customer, limit, open="false")

    assert [one["id"] for one in found] == made[::-1]
    assert open_ == [one for one in found if one["available"] != "0.00"]
    assert closed == [one for one in found if one["available"] == "0.00"]
    assert (len(open_), len(closed)) == (4, 6)
