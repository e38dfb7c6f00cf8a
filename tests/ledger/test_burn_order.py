"""In which order points are spent: by expiry (DESIGN §3), or as the rule of a redemption says."""

from __future__ import annotations

from typing import get_args

import pytest

from ledger import commands as c
from ledger.flows import BurnOrder
from ledger.model import Transaction
from ledger.service import Ledger
from tests.ledger.conftest import Clock
from tests.ledger.house import Customer, taken

TAKEN: dict[BurnOrder, list[int]] = {
    "expiry": [30, 0, 0, 10],
    "promo_first": [0, 30, 0, 10],
    "base_first": [30, 0, 10, 0],
    "oldest": [30, 10, 0, 0],
}
"""How much 40 points take of each lot of `give`."""


async def give(one: Customer) -> list[Transaction]:
    """Four lots, the oldest first."""
    return [
        await one.give(30, "base", expires=900, at=1),
        await one.give(30, "promo", at=2),
        await one.give(30, "base", at=3),
        await one.give(10, "promo", expires=500, at=4),
    ]


@pytest.fixture
def one(ledger: Ledger, clock: Clock) -> Customer:
    clock.seconds = 10
    return Customer(ledger, clock)


@pytest.mark.parametrize("order", get_args(BurnOrder))
async def test_redeem_takes_in_order(one: Customer, order: BurnOrder) -> None:
    lots = await give(one)
    spent = await one.do("redemption", c.Redeem(40, order=order))
    assert taken(spent, *lots) == TAKEN[order]


@pytest.mark.parametrize("order", get_args(BurnOrder))
async def test_a_hold_keeps_its_order_when_captured_in_part(
    one: Customer, order: BurnOrder
) -> None:
    """What a capture leaves goes back to the lots that the order had taken last."""
    lots = await give(one)
    hold = await one.do("hold", c.PlaceHold(45, one.clock.at(100), order=order))
    captured = await one.capture(hold.id, 40)
    spent = [p for p in captured.postings if p.kind == "capture"]
    assert [
        sum(p.amount for p in spent if p.lot_id == lot.postings[0].lot_id) for lot in lots
    ] == TAKEN[order]


@pytest.mark.parametrize("order", get_args(BurnOrder))
async def test_a_transfer_takes_in_order(
    one: Customer, ledger: Ledger, clock: Clock, order: BurnOrder
) -> None:
    lots = await give(one)
    sent = await one.do("transfer_out", c.Transfer(Customer(ledger, clock).id, 40, order))
    assert taken(sent, *lots) == TAKEN[order]


async def test_what_was_taken_out_of_order_returns_to_its_own_lots(one: Customer) -> None:
    """B21: a restoration gives back last taken first, whatever the order was."""
    lots = await give(one)
    spent = await one.do("redemption", c.Redeem(40, order="promo_first"))
    await one.restore(spent, 30)
    assert await one.left(*lots) == [30, 30, 30, 0]
    await one.restore(spent)
    assert await one.left(*lots) == [30, 30, 30, 10]
