"""Points that come back pay what their own lot owes (C2, C5, C6; DESIGN: revoke)."""

from __future__ import annotations

import asyncio

import pytest

from ledger import commands as c
from ledger.commands import IfSpent
from ledger.model import Transaction
from ledger.service import Ledger
from tests.conftest import TestDatabase
from tests.ledger.conftest import Clock
from tests.ledger.house import Customer, assert_clean


@pytest.fixture
def one(ledger: Ledger, clock: Clock) -> Customer:
    return Customer(ledger, clock)


async def revoke(one: Customer, sale: Transaction, points: int, if_spent: IfSpent = "debt") -> None:
    parts = ((sale.postings[0].lot_id, None, points),)
    await one.do("revocation", c.Revoke(sale.id, parts, if_spent))


async def sums(one: Customer) -> tuple[int, int]:
    state = await one.state()
    return state.available, state.debt


async def test_what_another_sale_paid_is_not_taken_twice(one: Customer) -> None:
    """A earns 100 and is spent; half of A comes back, C pays that debt, the payment comes back,
    and then the other half of A."""
    first = await one.give(100)
    spent = await one.redeem(100)
    await revoke(one, first, 50)
    await one.give(50)
    await one.restore(spent)
    await revoke(one, first, 50)
    assert await sums(one) == (50, 0)


@pytest.mark.parametrize("rounds", [3])
async def test_c2_buying_paying_and_returning_all_leaves_nothing(
    one: Customer, rounds: int
) -> None:
    """What was forgiven is taken when the points come back after all."""
    for _ in range(rounds):
        earned = await one.give(100)
        spent = await one.redeem("max")
        await one.revoke(earned, "floor")
        assert await sums(one) == (0, 0)
        await one.restore(spent)
        assert await sums(one) == (0, 0)


@pytest.mark.parametrize("if_spent", ["debt", "floor"])
async def test_c2_held_points_are_not_spent(one: Customer, if_spent: IfSpent) -> None:
    earned = await one.give(100)
    hold = await one.hold("max", 60)
    await one.revoke(earned, if_spent)
    await one.release(hold)
    assert await sums(one) == (0, 0)


async def test_a_reservation_that_ends_by_time_pays_too(one: Customer, clock: Clock) -> None:
    earned = await one.give(100, expires=50)
    await one.hold("max", 60)
    await one.revoke(earned)
    clock.seconds = 61
    assert await sums(one) == (0, 0)
    await one.give(1)
    assert await sums(one) == (1, 0)


async def test_the_rest_of_a_capture_pays_too(one: Customer) -> None:
    earned = await one.give(100)
    hold = await one.hold("max", 60)
    await one.revoke(earned)
    await one.capture(hold, 30)
    assert await sums(one) == (0, 30)


async def test_a_debt_that_comes_later_is_paid_by_a_lot_that_owes(one: Customer) -> None:
    """The sale whose points paid a debt comes back after the payment did."""
    first = await one.give(100)
    spent = await one.redeem(100)
    await revoke(one, first, 50)
    paying = await one.give(50)
    await one.restore(spent)
    await one.revoke(paying)
    assert await sums(one) == (50, 0)


async def test_other_lots_do_not_pay(one: Customer) -> None:
    earned = await one.give(100)
    await one.redeem(100)
    other = await one.give(40)
    await one.revoke(earned)
    assert await sums(one) == (40, 100)
    assert await one.left(other) == [40]


async def test_forgiving_is_seen_by_the_audit(one: Customer, database: TestDatabase) -> None:
    earned = await one.give(100)
    spent = await one.redeem(60)
    await one.revoke(earned, "floor")
    await one.restore(spent, 20)
    kinds = [p.kind for t in await one.history() for p in t.postings]
    assert kinds == ["accrue", "redeem", "revoke", "revoke", "forgive", "restore", "forgive"]
    await assert_clean(database)


async def test_of_two_commands_at_once_one_takes(one: Customer) -> None:
    earned = await one.give(100)
    first, second = await one.redeem(50), await one.redeem(50)
    await one.revoke(earned, "floor")
    await asyncio.gather(one.restore(first), one.restore(second))
    assert await sums(one) == (0, 0)
