"""Every movement of the ledger tells its events, as events.schema.json has them."""

from __future__ import annotations

import json
from uuid import uuid5

import jsonschema_rs
import pytest

from billing.events import contract
from billing.events.model import Event
from ledger import commands as c
from ledger.service import Ledger
from tests.billing.events.consumer import Consumer, data_of
from tests.conftest import REPOSITORY
from tests.ledger.conftest import Clock
from tests.ledger.house import Customer, lot

FILE = REPOSITORY / "events.schema.json"
DAY = 86_400


@pytest.fixture
def customer(ledger: Ledger, clock: Clock) -> Customer:
    return Customer(ledger, clock)


def valid(events: list[Event]) -> list[str]:
    """The types of `events`, all of which are as the contract says."""
    validator = jsonschema_rs.validator_for(json.loads(FILE.read_text()))
    for event in events:
        validator.validate(json.loads(event.body()))
    return [event.type for event in events]


def test_the_contract_is_current() -> None:
    assert FILE.read_text() == contract.document(), (
        "the events have changed: run `python -m billing.events.contract > events.schema.json` "
        "and look at the difference"
    )


async def test_points_given_tell_their_parts_and_the_balance_after(
    customer: Customer, consumer: Consumer, clock: Clock
) -> None:
    now = c.Grant("base", (("dairy", 300), ("bread", 200)), program="base-5", program_version=1)
    later = c.Grant("promo", ((None, 250),), clock.at(DAY), clock.at(9 * DAY), "gift", 1)
    made = await customer.accrue(
        now, later, source="sale/s/333/0001-7", channel="shop", store="333"
    )
    (event,) = await consumer.catch_up()
    assert valid([event]) == ["points.accrued"]
    assert event.id == uuid5(made.id, "points.accrued")
    assert data_of(event) == {
        "customer_id": str(customer.id),
        "transaction_id": str(made.id),
        "version": 1,
        "kind": "accrual",
        "points": {"total": "7.50", "base": "5.00", "promo": "2.50"},
        "balance": {
            "available": "5.00",
            "base": "5.00",
            "promo": "0.00",
            "held": "0.00",
            "deferred": "2.50",
            "debt": "0.00",
        },
        "channel": "shop",
        "store": "333",
        "receipt": "0001-7",
        "programs": ["base-5", "gift"],
        "corrects": None,
        "deferred": "2.50",
        "debt_paid": "0.00",
        "parts": [
            {
                "bucket": "base",
                "points": "5.00",
                "program": "base-5",
                "available_from": "2026-01-01T00:00:00Z",
                "expires_at": None,
            },
            {
                "bucket": "promo",
                "points": "2.50",
                "program": "gift",
                "available_from": "2026-01-02T00:00:00Z",
                "expires_at": "2026-01-10T00:00:00Z",
            },
        ],
    }


async def test_a_sale_that_does_both_tells_both_and_one_that_does_nothing_tells_nothing(
    customer: Customer, consumer: Consumer
) -> None:
    await customer.give(1000)
    await consumer.catch_up()
    await customer.do("receipt", c.Redeem(400), c.Accrue((lot(30),)))
    await customer.do("receipt")
    told = await consumer.catch_up()
    assert valid(told) == ["points.redeemed", "points.accrued"]
    assert [data_of(event)["points"]["total"] for event in told] == ["4.00", "0.30"]
    assert len({event.id for event in told}) == 2


async def test_holds_activations_and_expiries(
    customer: Customer, consumer: Consumer, clock: Clock
) -> None:
    await customer.give(1000)
    held = await customer.hold(300, 60)
    await customer.capture(held, 200)
    other = await customer.hold(100, 60)
    await customer.release(other)
    await customer.hold(50, 60)
    await customer.give(70, active=DAY, expires=2 * DAY)
    clock.seconds = 3 * DAY
    await customer.give(1)
    told = await consumer.catch_up()
    assert valid(told) == [
        "points.accrued",
        "points.held",
        "points.redeemed",
        "points.released",
        "points.held",
        "points.released",
        "points.held",
        "points.accrued",
        "points.released",
        "points.activated",
        "points.expired",
        "points.accrued",
    ]
    assert [data_of(event)["hold_id"] for event in told[1:4]] == [str(held)] * 3
    assert data_of(told[8])["kind"] == "hold_expiry"
    assert told[10].at == clock.at(2 * DAY)
    assert data_of(told[10])["points"]["total"] == "0.70"


async def test_what_comes_back_and_what_hands_do(customer: Customer, consumer: Consumer) -> None:
    earned = await customer.give(500)
    spent = await customer.redeem(200)
    friend = Customer(customer.ledger, customer.clock)
    await customer.revoke(earned)
    await customer.restore(spent, 50)
    await customer.do("adjustment", c.Adjust(900, "promo"), reason="sorry")
    await customer.transfer(friend, 100)
    told = (await consumer.catch_up())[2:]
    assert sorted(valid(told)) == sorted(
        ["receipt.returned"] * 2 + ["points.adjusted", "points.adjusted", "points.adjusted"]
    )
    mine = [data_of(event) for event in told if event.customer_id == customer.id]
    assert [one["points"]["total"] for one in mine] == ["-5.00", "0.50", "9.00", "-1.00"]
    assert (mine[0]["revoked"]["total"], mine[0]["owed"]) == ("5.00", "2.00")
    assert mine[1]["restored"]["total"] == "0.50"
    assert mine[0]["corrects"] == str(earned.id)
    (theirs,) = [data_of(event) for event in told if event.customer_id == friend.id]
    assert (theirs["kind"], theirs["points"]["total"]) == ("transfer_in", "1.00")
