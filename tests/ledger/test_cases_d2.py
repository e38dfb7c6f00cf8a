"""D2: lots, expiry and burn order, as OpenMeter and others publish them.

A grant is a lot, priority is promo before base, and an overage is a refusal or a debt. What does
not apply: rollover (lots have a life, no periods that carry a part of them over) and points in
advance ("5 as advance": nobody is lent points, he is refused).
"""

from __future__ import annotations

from itertools import permutations

import pytest

from ledger import commands as c
from ledger.closer import fold
from ledger.errors import Refusal
from ledger.flows import TransactionKind
from ledger.group import Result
from ledger.model import Transaction
from ledger.reads import statement
from ledger.service import Ledger
from ledger.sweep import post_due
from tests.ledger.conftest import Clock
from tests.ledger.house import Customer, lot, moved, own, taken


@pytest.fixture
def one(ledger: Ledger, clock: Clock) -> Customer:
    return Customer(ledger, clock)


async def refused(customer: Customer, points: int, available: int) -> None:
    with pytest.raises(Refusal) as no:
        await customer.redeem(points)
    assert (no.value.code, no.value.members) == ("insufficient_points", {"available": available})


# openmeter/credit/engine/run_test.go


async def test_no_grants_use_50(one: Customer) -> None:
    await refused(one, 50, available=0)
    assert (await one.state()).debt == 0


async def test_one_grant_100_use_50(one: Customer) -> None:
    await one.give(100)
    await one.redeem(50)
    assert await one.available() == 50


async def test_a_grant_effective_in_the_future_is_not_usable(one: Customer, clock: Clock) -> None:
    await one.give(100, active=10)
    assert ((await one.state()).available, (await one.state()).deferred) == (0, 100)
    clock.seconds = 9.999999
    await refused(one, 50, available=0)
    clock.seconds = 10
    assert (await one.redeem(50)).after.available == 50


async def test_a_grant_that_is_already_expired_is_not_usable(one: Customer, clock: Clock) -> None:
    clock.seconds = 20
    await one.give(100, at=0, expires=10)
    assert await one.available() == 0
    await refused(one, 1, available=0)


async def test_a_grant_that_expires_exactly_at_the_use_is_gone(one: Customer, clock: Clock) -> None:
    """`expires_at` is exclusive: at that instant the points are gone."""
    await one.give(100, expires=10)
    clock.seconds = 9.999999
    assert (await one.redeem(1)).after.available == 99
    clock.seconds = 10
    assert await one.available() == 0
    await refused(one, 1, available=0)


async def test_a_grant_voided_midway_claws_nothing_back(one: Customer) -> None:
    grant = await one.give(100)
    await one.redeem(50)
    await one.reverse(grant, "floor")
    state = await one.state()
    assert (state.available, state.debt) == (0, 0)
    await refused(one, 50, available=0)


async def test_a_grant_active_midway_pays_what_was_used_before(one: Customer, clock: Clock) -> None:
    """25 too many were used before (of a sale that came back): the lot pays them, 25 more → 50."""
    gone = await one.give(25)
    await one.redeem(25)
    await one.revoke(gone)
    await one.give(100, active=10)
    clock.seconds = 10
    assert (await one.redeem(25)).after.available == 50
    assert (await one.state()).debt == 0


async def test_two_grants_use_200(one: Customer) -> None:
    grants = [await one.give(100), await one.give(100)]
    await one.redeem(200)
    assert await one.left(*grants) == [0, 0]


async def test_priority_first_use_120(one: Customer) -> None:
    base, promo = await one.give(100, expires=9), await one.give(100, "promo", expires=9)
    await one.redeem(120)
    assert await one.left(promo, base) == [0, 80]


async def test_same_priority_earlier_expiry_first_use_120(one: Customer) -> None:
    late, early = await one.give(100, expires=20), await one.give(100, expires=10)
    await one.redeem(120)
    assert await one.left(early, late) == [0, 80]


async def test_same_priority_and_expiry_older_first_use_120(one: Customer, clock: Clock) -> None:
    clock.seconds = 5
    young, old = await one.give(100, at=4), await one.give(100, at=3)
    await one.redeem(120)
    assert await one.left(old, young) == [0, 80]


async def test_100_000_grants_use_99(one: Customer) -> None:
    first = 100_000

    async def patiently(kind: TransactionKind, step: c.Step) -> Transaction:
        """By the lane that takes its time: tills give up after seconds."""
        (fate,) = await one.ledger.execute_many([one.command(kind, step)])
        assert isinstance(fate, Result)
        return own(fate.outcome)

    for start in range(0, 100_000, 20_000):
        grants = [lot(100, expires=first - n) for n in range(start, start + 20_000)]
        last = await patiently("accrual", c.Accrue(tuple(grants)))
    earliest = last.postings[-1].lot_id
    spent = await patiently("redemption", c.Redeem(99))
    assert [(p.lot_id, p.amount) for p in spent.postings] == [(earliest, 99)]
    state = await one.state()
    assert (len(state.lots), state.lots[earliest].available) == (100_000, 1)
    assert state.available == 100 * 100_000 - 99


async def test_daily_recurring_100_use_120(one: Customer, clock: Clock) -> None:
    """The 20 that were used too much (their sale came back) are paid by the next day's 100."""
    today, more = await one.give(100, expires=86_400), await one.give(20)
    await one.redeem(120)
    await one.revoke(more)
    clock.seconds = 86_400
    tomorrow = await one.give(100, expires=2 * 86_400)
    assert await one.left(today, tomorrow) == [0, 80]


async def test_one_run_is_the_same_run_split_at_any_time(ledger: Ledger, clock: Clock) -> None:
    """Workers that bring the customer up to date at any instants change nothing."""
    runs = []
    for stops in ((), (5,), (7, 12), range(30)):
        clock.seconds = 0
        one = Customer(ledger, clock)
        await one.accrue(
            lot(100, expires=10), lot(50, "promo", active=5, expires=15), lot(70, active=12)
        )
        await one.hold(30, 7)
        for second in range(30):
            clock.seconds = second
            if second in stops:
                await post_due(ledger)
            if second == 8:
                await one.redeem(20)
        await post_due(ledger)
        runs.append(
            [
                (t.kind, t.occurred_at, t.after, [(p.kind, p.amount) for p in t.postings])
                for t in await one.history()
            ]
        )
    assert [(kind, (at - clock.at(0)).seconds) for kind, at, *_ in runs[0]] == [
        ("accrual", 0),
        ("hold", 0),
        ("activation", 5),
        ("hold_expiry", 7),
        ("redemption", 8),
        ("expiry", 10),
        ("activation", 12),
        ("expiry", 15),
    ]
    assert all(run == runs[0] for run in runs)


async def test_the_result_is_independent_of_the_order_of_input(
    ledger: Ledger, clock: Clock
) -> None:
    grants = (lot(10, expires=9), lot(20, "promo", expires=9), lot(30), lot(40, expires=5))
    spent = set()
    for order in permutations(grants):
        one = Customer(ledger, clock)
        for grant in order:
            await one.accrue(grant)
        done = await one.redeem(75)
        spent.add(tuple((p.bucket, p.expires_at, p.amount) for p in done.postings))
    assert spent == {
        (
            ("base", clock.at(5), 40),
            ("promo", clock.at(9), 20),
            ("base", clock.at(9), 10),
            ("base", None, 5),
        )
    }


# As of, lists


async def test_10_at_t1_expire_at_t10_4_used_at_t5(one: Customer, clock: Clock) -> None:
    clock.seconds = 1
    await one.give(10, expires=10)
    clock.seconds = 5
    await one.redeem(4)
    clock.seconds = 11
    assert [(await one.as_of(t)).available for t in (0, 1, 4, 5, 9.999, 10, 11)] == [
        0, 10, 10, 6, 6, 0, 0
    ]  # fmt: skip
    await post_due(one.ledger)
    items = await statement(one.ledger, one.id, 10)
    assert [(i.transaction.kind, i.points) for i in reversed(items)] == [
        ("accrual", 10),
        ("redemption", -4),
        ("expiry", -6),
    ]
    assert items[0].transaction.occurred_at == clock.at(10)
    assert (await one.as_of(11)).available == 0


# Undo: last taken is first given back, to its own lot with its own expiry


async def test_10_and_15_use_5_then_10_then_undo_7(one: Customer, clock: Clock) -> None:
    """The source has its second use at T3, before the 15 arrive at T5: here it is at T6."""
    t10 = await one.give(10, expires=10)
    clock.seconds = 2
    assert taken(await one.redeem(5), t10) == [5]
    clock.seconds = 5
    t15 = await one.give(15, expires=15)
    clock.seconds = 6
    second = await one.redeem(10)
    assert taken(second, t10, t15) == [5, 5]
    assert (await one.as_of(10)).available == 10, "what is left breaks at T15"
    assert (await one.as_of(15)).available == 0

    back = await one.restore(second, 7)
    assert [(p.lot_id, p.amount) for p in back.postings] == [
        (t15.postings[0].lot_id, 5),
        (t10.postings[0].lot_id, 2),
    ]
    assert await one.left(t10, t15) == [2, 15]
    # Of the second use, T10 pays 3 and T15 nothing any more.
    assert taken(await one.restore(second), t10, t15) == [3, 0]


@pytest.mark.parametrize(("undone", "back"), [(5, [0, 5]), (8, [2, 6])])
async def test_4_and_6_used_then_undo(one: Customer, undone: int, back: list[int]) -> None:
    t10, t15 = await one.give(4, expires=10), await one.give(15, expires=15)
    spent = await one.redeem(10)
    assert taken(spent, t10, t15) == [4, 6]
    assert taken(await one.restore(spent, undone), t10, t15) == back


async def test_an_undo_after_the_lots_expiry_gives_nothing_new(one: Customer, clock: Clock) -> None:
    """Points return with their own expiry, so they are gone at once."""
    await one.give(10, expires=10)
    spent = await one.redeem(4)
    clock.seconds = 20
    assert moved(await one.restore(spent), "restore") == 4
    assert [(t.kind, t.after.available) for t in await one.history()] == [
        ("accrual", 10),
        ("redemption", 6),
        ("expiry", 0),
        ("restoration", 4),
        ("expiry", 0),
    ]


async def test_a_b_c_collected_in_burn_order(one: Customer) -> None:
    a = await one.give(10, "promo", expires=10)
    b = await one.give(15, "promo", expires=15)
    c = await one.give(20)
    assert taken(await one.redeem(5), a, b, c) == [5, 0, 0]
    assert taken(await one.redeem(10), a, b, c) == [5, 5, 0]
    assert await one.left(a, b, c) == [0, 10, 20]


# Regressions of OpenMeter's issues


async def test_use_of_a_closed_period_does_not_eat_later_grants(
    one: Customer, clock: Clock
) -> None:
    """#4649. A use that was too much was refused; the later grant is whole."""
    await one.give(50, expires=10)
    await refused(one, 60, available=50)
    clock.seconds = 20
    later = await one.give(100)
    assert await one.left(later) == [100]


async def test_a_late_event_after_a_snapshot(one: Customer, clock: Clock) -> None:
    """#4846, #4999: written down late, it counts from when it happened, and is known since."""
    await one.give(100)
    clock.seconds = 10
    await one.redeem(10)
    clock.seconds = 20
    await one.redeem(40, at=5)
    assert [(await one.as_of(t)).available for t in (4, 5, 9, 10, 20)] == [100, 60, 60, 50, 50]
    assert [(await one.as_of(t, known=19)).available for t in (5, 10)] == [100, 90]
    assert fold(one.id, await one.history()).available == await one.available() == 50
