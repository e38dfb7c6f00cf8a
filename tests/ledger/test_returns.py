"""The ledger's part of returns: a plan sees what it corrects, and posts all of it at once."""

from __future__ import annotations

from typing import Any

import pytest

from ledger import commands as c
from ledger.errors import Refusal
from ledger.service import Ledger
from tests.conftest import TestDatabase
from tests.ledger.conftest import Clock
from tests.ledger.house import Customer, assert_clean, lot, moved


@pytest.fixture
def one(ledger: Ledger, clock: Clock) -> Customer:
    return Customer(ledger, clock)


async def test_a_return_restores_revokes_and_gives_anew_in_one_transaction(
    one: Customer, clock: Clock, database: TestDatabase
) -> None:
    await one.give(100, expires=10)
    sale = await one.do("receipt", c.Redeem(60), c.Accrue((lot(30),)))
    clock.seconds = 20
    until = Clock.at(40)
    back = await one.do(
        "return", c.Restore(sale.id, 60), c.Adjust(60, "base", None, until), c.Revoke(sale.id)
    )
    assert back.corrects == sale.id
    assert (moved(back, "restore"), moved(back, "revoke"), moved(back, "adjust")) == (60, 30, 60)
    state = await one.state()
    assert (state.available, state.debt) == (60, 0)
    assert [found.expires_at for found in state.lots.values() if found.available] == [until]
    await assert_clean(database)


async def test_a_plan_sees_what_earlier_returns_took(one: Customer) -> None:
    """C3: the second of two returns in one group finds the first among the corrections."""
    sale = await one.accrue(lot(100))
    seen: list[int] = []

    def plan(view: c.View) -> tuple[c.Step, ...]:
        target = view.targets[sale.id]
        seen.append(sum(posting.amount for posting in target.corrections))
        (lot_id,) = {posting.lot_id for posting in target.postings}
        return (c.Revoke(sale.id, ((lot_id, None, 40),)),)

    commands = [one.command("return", plan=plan, corrects=(sale.id,)) for _ in range(3)]
    fates: list[Any] = await one.ledger.execute_many(commands)
    assert seen == [0, 40, 80]
    assert isinstance(fates[2], Refusal)
    assert (fates[2].code, fates[2].members) == ("correction_exceeds", {"left": 20})
    assert await one.available() == 20


async def test_a_return_of_nothing_says_what_it_corrects(
    one: Customer, database: TestDatabase
) -> None:
    sale = await one.accrue(lot(100))
    back = await one.do("return", c.Revoke(sale.id, ()))
    assert (back.corrects, back.postings) == (sale.id, ())
    assert await one.available() == 100
    await assert_clean(database)


async def test_a_lot_takes_back_no_more_than_it_gave(one: Customer, clock: Clock) -> None:
    """T51: part by part, last taken, first returned, each lot up to what was spent of it."""
    first = await one.give(10, expires=100)
    second = await one.give(10, expires=200)
    spent = await one.redeem(15)
    await one.restore(spent, 7)
    assert await one.left(first, second) == [2, 10]
    with pytest.raises(Refusal) as no:
        await one.restore(spent, 9)
    assert (no.value.code, no.value.members) == ("correction_exceeds", {"left": 8})
    await one.restore(spent, 8)
    assert await one.left(first, second) == [10, 10]


async def test_parts_of_a_redemption_go_where_they_are_said_to(one: Customer) -> None:
    """By lot and product group, never more than was taken of each."""
    first = await one.give(10, expires=100)
    second = await one.give(10, expires=200)
    spread: c.Spread = lambda n: (("milk", 5), ("tea", n - 5))  # noqa: E731
    spent = await one.do("redemption", c.Redeem(15, None, spread))
    (lot_id, *_) = [p.lot_id for p in spent.postings if p.product_group == "milk"]
    back = await one.do("return", c.Restore(spent.id, None, ((lot_id, "milk", 4),)))
    assert [(p.product_group, p.amount) for p in back.postings] == [("milk", 4)]
    assert await one.left(first, second) == [4, 5]
    for amount in (2, 1_000):
        with pytest.raises(Refusal) as no:
            await one.do("return", c.Restore(spent.id, None, ((lot_id, "milk", amount),)))
        assert (no.value.code, no.value.members) == ("correction_exceeds", {"left": 1})
