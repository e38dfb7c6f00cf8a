"""D3: holds, as TigerBeetle (two-phase transfers) and Blnk publish them.

A pending transfer is a hold, posting it a capture, voiding it a release. Void and post are never
both possible, nor either twice.
"""

from __future__ import annotations

import asyncio
from uuid import UUID

import pytest

from ledger.errors import Refusal
from ledger.service import Ledger
from tests.conftest import TestDatabase
from tests.ledger.conftest import Clock
from tests.ledger.house import Customer, assert_clean, moved, processes

YEAR = 365 * 86_400


@pytest.fixture
def one(ledger: Ledger, clock: Clock) -> Customer:
    return Customer(ledger, clock)


async def code_of_capture(one: Customer, hold: UUID, points: int | None = None) -> str:
    with pytest.raises(Refusal) as no:
        await one.capture(hold, points)
    return no.value.code


async def test_pending_transfers_time_out_one_by_one(one: Customer, clock: Clock) -> None:
    """src/state_machine_tests.zig L1332-1526. Ours all end: the first has a year."""
    await one.give(100)
    ten, *timed = [await one.hold(10 + n, n or YEAR) for n in range(4)]
    held = []
    for second in (0, 0.999, 1, 2, 3):
        clock.seconds = second
        state = await one.state()
        assert state.available + state.held == 100
        held.append(state.held)
    assert held == [46, 46, 35, 23, 10]

    assert moved(await one.capture(ten), "capture") == 10
    assert [await code_of_capture(one, hold) for hold in timed] == ["hold_expired"] * 3
    assert await code_of_capture(one, ten) == "hold_not_open"
    state = await one.state()
    assert (state.available, state.held) == (90, 0)
    assert sum(moved(t, "capture") for t in await one.history()) == 10


async def test_each_timeout_is_a_transaction_at_its_instant(one: Customer, clock: Clock) -> None:
    await one.give(100)
    holds = [await one.hold(10 + n, n) for n in (1, 2, 3)]
    clock.seconds = 60
    await one.give(1)
    ends = [t for t in await one.history() if t.kind == "hold_expiry"]
    assert [(t.hold_id, t.occurred_at, t.after.held) for t in ends] == [
        (holds[0], clock.at(1), 25),
        (holds[1], clock.at(2), 13),
        (holds[2], clock.at(3), 0),
    ]


@pytest.mark.parametrize(("posted", "left"), [(None, 77), (123, 77), (100, 100)])
async def test_two_phase_post(one: Customer, posted: int | None, left: int) -> None:
    """docs two-phase: 123 pending → post 123 | post 100 (23 released)."""
    await one.give(200)
    done = await one.capture(await one.hold(123, 60), posted)
    assert moved(done, "capture") == (posted or 123)
    assert moved(done, "release") == 123 - (posted or 123)
    state = await one.state()
    assert (state.available, state.held) == (left, 0)


async def test_two_phase_void(one: Customer, clock: Clock) -> None:
    await one.give(200)
    hold = await one.hold(123, 60)
    await one.release(hold)
    assert (await one.state()).available == 200
    assert await code_of_capture(one, hold) == "hold_not_open"
    with pytest.raises(Refusal, match="already released"):
        await one.release(hold)
    clock.seconds = 61
    assert (await one.state()).available == 200, "its timeout has nothing left to end"


async def test_pending_amounts_are_reserved_pessimistically(one: Customer) -> None:
    """Credits 100, posted debits 70: a hold of 50 is refused; so it is when the 70 are pending."""
    await one.give(200)
    await one.redeem(70)
    hold = await one.hold(100, 60)
    for _ in range(2):
        with pytest.raises(Refusal) as no:
            await one.hold(50, 60)
        assert no.value.members == {"available": 30}
        if _ == 0:
            await one.capture(hold)
    assert await one.hold(30, 60)


async def test_points_held_may_expire_only_when_they_come_back(one: Customer, clock: Clock) -> None:
    """A till that holds points in time may still capture them after the lot's end."""
    await one.give(10, expires=5)
    hold, other = await one.hold(6, 10), await one.hold(4, 10)
    clock.seconds = 7
    assert (await one.state()).held == 10
    await one.capture(hold)
    await one.release(other)
    state = await one.state()
    assert (state.available, state.held) == (0, 0)


async def test_six_concurrent_holds_of_1000_on_5000(
    ledger: Ledger, clock: Clock, database: TestDatabase
) -> None:
    """Blnk #181: exactly five, whichever processes they reach."""
    one = Customer(ledger, clock)
    await one.give(5000)
    async with processes(database, clock, 3) as others:
        fates = await asyncio.gather(
            *(one.at(others[n % 3]).hold(1000, 60) for n in range(6)), return_exceptions=True
        )
    refusals = [fate for fate in fates if isinstance(fate, Refusal)]
    assert [r.code for r in refusals] == ["insufficient_points"]
    assert sum(isinstance(fate, UUID) for fate in fates) == 5
    state = await one.state()
    assert (state.available, state.held) == (0, 5000)
    await assert_clean(database)


async def test_commit_of_what_is_held(one: Customer) -> None:
    """Blnk: commit = held → ok; more than held → refused; commit twice → refused (#315)."""
    await one.give(100)
    hold = await one.hold(40, 60)
    assert await code_of_capture(one, hold, 41) == "insufficient_points"
    await one.capture(hold, 40)
    assert await code_of_capture(one, hold, 40) == "hold_not_open"
    state = await one.state()
    assert (state.available, state.held) == (60, 0)


async def test_commit_twice_at_once(ledger: Ledger, clock: Clock, database: TestDatabase) -> None:
    one = Customer(ledger, clock)
    await one.give(100)
    hold = await one.hold(40, 60)
    async with processes(database, clock, 2) as others:
        fates = await asyncio.gather(
            one.at(others[0]).capture(hold),
            one.at(others[1]).capture(hold),
            one.at(others[0]).release(hold),
            return_exceptions=True,
        )
    refusals = [fate.code for fate in fates if isinstance(fate, Refusal)]
    assert refusals == ["hold_not_open"] * 2
    await assert_clean(database)
