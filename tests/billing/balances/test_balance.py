"""GET /v1/customers/{id}/balance (spec: Balance and statement; B21, B22, C32)."""

from __future__ import annotations

from datetime import timedelta
from typing import Any
from uuid import UUID, uuid4
from zoneinfo import ZoneInfo

import msgspec
import pytest

from billing.balances.model import balance_document
from billing.balances.schemas import BalanceOut
from billing.common.wire import encode
from ledger.commands import PlaceHold, Redeem, Revoke
from tests.billing.balances.house import DAY, START, House

INSTANT = timedelta(microseconds=1)


async def balance(house: House, customer: UUID, **query: Any) -> Any:
    answer = await house.get(f"/v1/customers/{customer}/balance", **query)
    msgspec.convert(answer, BalanceOut)
    return answer


async def test_the_whole_balance_with_grouped_parts_in_the_chains_time(house: House) -> None:
    customer = await house.customer()
    await house.accrue(customer, 12000)
    await house.accrue(customer, 1000, "promo", lives=3 * DAY)
    await house.accrue(customer, 2000, "promo", lives=3 * DAY)
    await house.accrue(customer, 700, "promo", lives=2 * DAY)
    for points, program in ((1000, "base-5"), (1500, "base-5"), (300, "gift")):
        await house.accrue(customer, points, after=14 * DAY, program=program)
    held = await house.do(customer, "hold", PlaceHold(700, START + DAY))

    answer = await balance(house, customer)

    assert answer == {
        "customer_id": str(customer),
        "as_of": "2027-03-01T12:00:00+03:00",
        "available": "150.00",
        "base": "120.00",
        "promo": "30.00",
        "held": "7.00",
        "deferred": "28.00",
        "debt": "0.00",
        "spendable": "150.00",
        "future_accruals": [
            {
                "at": "2027-03-15T12:00:00+03:00",
                "points": "25.00",
                "bucket": "base",
                "program": "base-5",
            },
            {
                "at": "2027-03-15T12:00:00+03:00",
                "points": "3.00",
                "bucket": "base",
                "program": "gift",
            },
        ],
        "expiring": [{"at": "2027-03-04T12:00:00+03:00", "points": "30.00", "bucket": "promo"}],
        "holds": [
            {"id": str(held.id), "points": "7.00", "expires_at": "2027-03-02T12:00:00+03:00"}
        ],
    }


@pytest.mark.parametrize("by_clock", [False, True], ids=["asked ahead", "when the time has come"])
async def test_points_live_from_their_day_to_their_last_instant_without_workers(
    house: House, by_clock: bool
) -> None:
    customer = await house.customer()
    await house.accrue(customer, 2500, after=14 * DAY, lives=30 * DAY)

    async def at(moment: Any) -> tuple[str, str]:
        if by_clock:
            house.clock.now = moment
            found = await balance(house, customer)
            assert found == await balance(house, customer, as_of=moment)
        else:
            found = await balance(house, customer, as_of=moment)
        return found["deferred"], found["available"]

    assert await at(START + 14 * DAY - INSTANT) == ("25.00", "0.00")
    assert await at(START + 14 * DAY) == ("0.00", "25.00")
    assert await at(START + 30 * DAY - INSTANT) == ("0.00", "25.00")
    assert await at(START + 30 * DAY) == ("0.00", "0.00")
    assert len(await house.pages(f"/v1/customers/{customer}/statement", 10)) == 1


async def test_what_was_known_before_a_late_receipt(house: House) -> None:
    customer = await house.customer()
    await house.accrue(customer, 1000)
    house.clock.now = START + 10 * DAY
    await house.accrue(customer, 500, occurred_at=START + 3 * DAY)

    async def available(**query: Any) -> str:
        return str((await balance(house, customer, **query))["available"])

    day5 = START + 5 * DAY
    assert await available(as_of=day5) == "15.00"
    assert await available(as_of=day5, known_at=day5) == "10.00"
    assert await available(known_at=day5) == "10.00"
    assert await available(as_of=START + 2 * DAY) == "10.00"
    assert await available(as_of=START - DAY) == "0.00"
    late = await balance(house, customer, known_at=day5)
    assert late["as_of"] == "2027-03-06T12:00:00+03:00"


async def test_a_redemption_recorded_late_may_show_a_past_below_zero(house: House) -> None:
    customer = await house.customer()
    house.clock.now = START + 2 * DAY
    await house.accrue(customer, 1000, lives=9 * DAY)
    await house.do(customer, "redemption", Redeem(400), occurred_at=START)

    past = await balance(house, customer, as_of=START + DAY)

    assert (past["available"], past["spendable"], past["expiring"]) == ("-4.00", "0.00", [])


async def test_a_debt_is_shown_and_comes_before_spending(house: House) -> None:
    customer = await house.customer()
    earned = await house.accrue(customer, 1000)
    await house.do(customer, "redemption", Redeem(1000))
    await house.do(customer, "revocation", Revoke(earned.id))

    assert (await balance(house, customer))["debt"] == "10.00"
    await house.accrue(customer, 1500)
    found = await balance(house, customer)
    assert (found["available"], found["debt"], found["spendable"]) == ("5.00", "0.00", "5.00")


async def test_a_state_that_knows_deferred_lots_only_leaves_out_what_it_does_not_know(
    house: House,
) -> None:
    customer = await house.customer()
    await house.accrue(customer, 700, lives=9 * DAY)
    await house.accrue(customer, 300, after=DAY, program="base-5")
    shown: list[Any] = []

    def complete(outcome: Any) -> Any:
        from ledger.commands import Completion

        zone = ZoneInfo("Europe/Moscow")
        shown.append(balance_document(outcome.state, at=START, zone=zone, complete=False))
        return Completion()

    await house.accrue(customer, 100, after=DAY, program="base-5", complete=complete)

    found = msgspec.json.decode(encode(shown[0]))
    whole = await balance(house, customer)
    del whole["expiring"], whole["holds"]
    assert found == whole
    assert [one["points"] for one in found["future_accruals"]] == ["4.00"]


async def test_customers_nobody_registered_and_questions_nobody_understands(house: House) -> None:
    client = await house.client("pos")
    customer = await house.customer()
    path = f"/v1/customers/{customer}/balance"

    fresh = await balance(house, customer)
    unknown = await client.get(f"/v1/customers/{uuid4()}/balance")
    no_id = await client.get("/v1/customers/anna/balance")
    naive = await client.get(f"{path}?as_of=2027-03-01T12:00:00")
    typo = await client.get(f"{path}?asof=2027-03-01T12:00:00Z")
    bare_plus = await client.get(f"{path}?as_of=2027-03-01T12:00:00+03:00")

    assert (fresh["available"], fresh["holds"]) == ("0.00", [])
    assert (unknown.status_code, unknown.json()["code"]) == (404, "not_found")
    for answer in (no_id, naive, typo):
        assert (answer.status_code, answer.json()["code"]) == (400, "validation_failed")
    assert naive.json()["errors"][0]["pointer"] == "/query/as_of"
    assert bare_plus.json()["as_of"] == "2027-03-01T12:00:00+03:00"
