"""Points that wait for a person, and transfers that take what is deferred, or some lots only."""

from __future__ import annotations

import asyncio

import pytest

from ledger import commands as c
from ledger.errors import Refusal
from ledger.service import Ledger
from ledger.sweep import post_due
from tests.conftest import TestDatabase
from tests.ledger.conftest import Clock
from tests.ledger.house import Customer, assert_clean, lot, moved

DAY = 86_400.0


def waiting(points: int, expires: float | None = None) -> c.Grant:
    until = None if expires is None else Clock.at(expires)
    return c.Grant("base", ((None, points),), c.WAITING, until)


async def test_no_time_makes_waiting_points_available_a_command_does_once(
    ledger: Ledger, clock: Clock, database: TestDatabase
) -> None:
    one = Customer(ledger, clock)
    await one.accrue(waiting(100), lot(7), lot(5, active=DAY))
    clock.seconds = 4000 * DAY
    await post_due(ledger, limit=1000)
    state = await one.state()
    assert (state.available, state.deferred) == (12, 100)
    command = one.command("activation", c.ActivateWaiting())
    fates = await asyncio.gather(
        *(ledger.execute(command) for _ in range(5)), return_exceptions=True
    )
    refused = [fate.code for fate in fates if isinstance(fate, Refusal)]
    assert refused == ["nothing_waiting"] * 4
    assert await one.available() == 112
    await assert_clean(database)


async def test_what_expired_while_it_waited_is_gone_when_it_is_activated(
    ledger: Ledger, clock: Clock, database: TestDatabase
) -> None:
    one = Customer(ledger, clock)
    await one.accrue(waiting(100, expires=DAY), waiting(30))
    clock.seconds = 2 * DAY
    done = await one.do("activation", c.ActivateWaiting())
    assert moved(done, "activate") == 130
    assert await one.available() == 30
    await assert_clean(database)


async def test_a_return_takes_waiting_points_back(ledger: Ledger, clock: Clock) -> None:
    one = Customer(ledger, clock)
    sale = await one.accrue(waiting(100))
    await one.revoke(sale)
    state = await one.state()
    assert (state.deferred, state.debt) == (0, 0)
    with pytest.raises(Refusal, match="no points that wait"):
        await one.do("activation", c.ActivateWaiting())


async def test_a_transfer_takes_deferred_points_with_their_dates_when_it_is_told_to(
    ledger: Ledger, clock: Clock, database: TestDatabase
) -> None:
    one, other = Customer(ledger, clock), Customer(ledger, clock)
    await one.accrue(lot(10), lot(20, active=DAY, expires=9 * DAY), waiting(40, expires=DAY))
    await one.transfer(other, c.MAX)
    assert (await one.state()).deferred == 60
    clock.seconds = 3.0
    await one.do("transfer_out", c.Transfer(other.id, c.MAX, deferred=True))
    assert (await one.state()).owned == 0
    state = await other.state()
    assert (state.available, state.deferred) == (10, 60)
    clock.seconds = DAY
    assert await other.available() == 30
    clock.seconds = 9 * DAY
    assert await other.available() == 10
    await other.do("activation", c.ActivateWaiting())
    assert await other.available() == 10
    await assert_clean(database)


async def test_a_transfer_of_some_lots_leaves_the_others(ledger: Ledger, clock: Clock) -> None:
    one, other = Customer(ledger, clock), Customer(ledger, clock)
    sooner, later = await one.give(50, expires=DAY), await one.give(30, expires=9 * DAY)
    lots = frozenset(posting.lot_id for posting in later.postings)
    with pytest.raises(Refusal) as refused:
        await one.do("transfer_out", c.Transfer(other.id, 31, lots=lots))
    assert refused.value.code == "insufficient_points"
    await one.do("transfer_out", c.Transfer(other.id, c.MAX, lots=lots))
    assert await one.left(sooner, later) == [50, 0]
    assert await other.available() == 30


async def test_what_arrives_pays_a_debt_when_it_is_told_to(
    ledger: Ledger, clock: Clock, database: TestDatabase
) -> None:
    one, other = Customer(ledger, clock), Customer(ledger, clock)
    sale = await other.give(80)
    await other.redeem(80)
    await other.revoke(sale)
    await one.give(100)
    await one.transfer(other, 10)
    assert ((await other.state()).available, (await other.state()).debt) == (10, 80)
    await one.do("transfer_out", c.Transfer(other.id, 90, pays_debt=True))
    state = await other.state()
    assert (state.available, state.debt) == (20, 0)
    await assert_clean(database)
