"""Never late at the till: what time brings about holds without any worker (DESIGN §3, §6)."""

from __future__ import annotations

import asyncio

import asyncpg
import pytest

from ledger import commands as c
from ledger.errors import Refusal
from ledger.group import Result
from ledger.model import Transaction
from ledger.reads import hold_now
from ledger.service import Ledger
from ledger.sweep import post_due, stuck
from tests.conftest import TestDatabase
from tests.ledger.conftest import Clock
from tests.ledger.house import Customer, assert_clean, lot, moved, processes

DAY = 86_400


@pytest.fixture
def one(ledger: Ledger, clock: Clock) -> Customer:
    return Customer(ledger, clock)


def told(history: list[Transaction]) -> list[tuple[str, float, int, int]]:
    """(kind, second it happened, available and held after it)."""
    start = Clock.at(0)
    return [
        (t.kind, (t.occurred_at - start).total_seconds(), t.after.available, t.after.held)
        for t in history
    ]


async def test_deferred_points_are_spendable_at_their_instant(one: Customer, clock: Clock) -> None:
    """In a balance read and in the next redemption; a microsecond earlier in neither."""
    await one.give(100, active=10)
    clock.seconds = 9.999999
    state = await one.state()
    assert (state.available, state.deferred) == (0, 100)
    with pytest.raises(Refusal):
        await one.redeem(1)
    clock.seconds = 10
    state = await one.state()
    assert (state.available, state.deferred) == (100, 0)
    await one.redeem(60)
    assert told(await one.history()) == [
        ("accrual", 0, 0, 0),
        ("activation", 10, 100, 0),
        ("redemption", 10, 40, 0),
    ]


async def test_expired_points_are_gone_at_their_instant(one: Customer, clock: Clock) -> None:
    await one.accrue(lot(100, expires=10), lot(5))
    clock.seconds = 9.999999
    assert await one.available() == 105
    clock.seconds = 10
    assert await one.available() == 5
    with pytest.raises(Refusal) as no:
        await one.redeem(6)
    assert no.value.members == {"available": 5}
    assert len(await one.history()) == 1, "a refusal posts nothing, not even what is due"
    await one.redeem(5)
    assert told(await one.history())[1:] == [("expiry", 10, 5, 0), ("redemption", 10, 0, 0)]


async def test_an_accrual_too_brings_up_to_date(one: Customer, clock: Clock) -> None:
    """It reads no lots otherwise; what is due makes it read them."""
    await one.accrue(lot(100, expires=10), lot(50, active=20), lot(7, active=90))
    clock.seconds = 30
    await one.give(1)
    assert told(await one.history())[1:] == [
        ("expiry", 10, 0, 0),
        ("activation", 20, 50, 0),
        ("accrual", 30, 51, 0),
    ]
    assert (await one.state()).deferred == 7


async def test_arriving_points_bring_the_receiver_up_to_date(one: Customer, clock: Clock) -> None:
    other = Customer(one.ledger, clock)
    await other.accrue(lot(100, expires=10), lot(50, active=20))
    await one.give(40)
    clock.seconds = 30
    await one.transfer(other, 40)
    assert told(await other.history())[1:] == [
        ("expiry", 10, 0, 0),
        ("activation", 20, 50, 0),
        ("transfer_in", 30, 90, 0),
    ]


async def test_a_month_of_absence(one: Customer, clock: Clock) -> None:
    """Everything that fell due meanwhile, in order, each at its instant, recorded now."""
    await one.accrue(lot(10, active=1 * DAY, expires=3 * DAY), lot(20, active=2 * DAY))
    await one.accrue(lot(40, "promo", expires=3 * DAY), lot(80, active=29 * DAY, expires=40 * DAY))
    hold = await one.hold(30, 2 * DAY)
    clock.seconds = 30 * DAY
    assert (await one.state()).available == 100
    found = await hold_now(one.ledger, one.id, hold)
    assert found is not None
    assert found.status == "expired"
    await one.redeem(100)
    history = (await one.history())[3:]
    assert told(history) == [
        ("activation", 1 * DAY, 20, 30),
        ("hold_expiry", 2 * DAY, 50, 0),
        ("activation", 2 * DAY, 70, 0),
        ("expiry", 3 * DAY, 20, 0),
        ("activation", 29 * DAY, 100, 0),
        ("redemption", 30 * DAY, 0, 0),
    ]
    assert {t.recorded_at for t in history} == {clock()}
    assert [len(t.postings) for t in history] == [1, 1, 1, 2, 1, 2]


async def test_an_activation_and_its_expiry_both_missed(one: Customer, clock: Clock) -> None:
    await one.give(10, active=10, expires=20)
    clock.seconds = 30
    assert await one.available() == 0
    await one.give(1)
    assert told(await one.history())[1:] == [
        ("activation", 10, 10, 0),
        ("expiry", 20, 0, 0),
        ("accrual", 30, 1, 0),
    ]


async def test_a_hold_ends_at_its_instant(one: Customer, clock: Clock) -> None:
    await one.give(100)
    hold = await one.hold(60, 10)
    clock.seconds = 9.999999
    with pytest.raises(Refusal, match=r"0\.40 points may be spent"):
        await one.redeem(100)
    clock.seconds = 10
    with pytest.raises(Refusal) as no:
        await one.capture(hold)
    assert no.value.code == "hold_expired"
    await one.redeem(100)
    assert told(await one.history())[2:] == [
        ("hold_expiry", 10, 100, 0),
        ("redemption", 10, 0, 0),
    ]


async def test_expiry_of_a_lot_partly_held(one: Customer, clock: Clock) -> None:
    """What is available expires on time; what is held, at the moment it comes back."""
    await one.give(100, expires=10)
    first, second = await one.hold(30, 20), await one.hold(20, 20)
    clock.seconds = 12
    state = await one.state()
    assert (state.available, state.held) == (0, 50)
    assert moved(await one.capture(first, 25), "release") == 5
    assert told(await one.history())[3:] == [
        ("expiry", 10, 0, 50),
        ("capture", 12, 5, 20),
        ("expiry", 12, 0, 20),
    ]
    clock.seconds = 25
    assert (await one.state()).held == 0
    await one.give(1)
    assert told(await one.history())[6:] == [
        ("hold_expiry", 20, 20, 0),
        ("expiry", 20, 0, 0),
        ("accrual", 25, 1, 0),
    ]
    assert await hold_now(one.ledger, one.id, second) is not None


async def test_a_sweep_does_what_the_till_would(
    one: Customer, clock: Clock, database: TestDatabase
) -> None:
    """… and a second one writes nothing more."""
    await one.accrue(lot(10, active=5), lot(20, expires=8), lot(30))
    await one.hold(15, 6)
    clock.seconds = 10
    before = (await one.state()).balances
    assert await post_due(one.ledger) == 1
    assert told(await one.history())[2:] == [
        ("activation", 5, 45, 15),
        ("hold_expiry", 6, 60, 0),
        ("expiry", 8, 40, 0),
    ]
    assert (await one.state()).balances == before
    for _ in range(2):
        assert await post_due(one.ledger) == 0
    assert len(await one.history()) == 5
    await assert_clean(database)


async def test_a_sweep_takes_the_longest_due_first_and_so_many(
    ledger: Ledger, clock: Clock
) -> None:
    people = [Customer(ledger, clock) for _ in range(5)]
    for n, one in enumerate(people):
        await one.give(10, active=20 - n)
    clock.seconds = 18
    assert await post_due(ledger, limit=2) == 2
    assert [len(await one.history()) for one in people] == [1, 1, 1, 2, 2]
    assert await post_due(ledger, limit=2) == 1
    assert await post_due(ledger, limit=2) == 0
    clock.seconds = 20
    assert await post_due(ledger, limit=2) == 2


async def test_two_sweepers_at_once_post_once(clock: Clock, database: TestDatabase) -> None:
    async with processes(database, clock, 3) as ledgers:
        people = [Customer(ledgers[0], clock) for _ in range(50)]
        for one in people:
            await one.accrue(lot(10, active=5), lot(20, expires=8))
        clock.seconds = 10
        await asyncio.gather(
            *(post_due(ledger) for ledger in ledgers), *(one.redeem(10) for one in people[:10])
        )
        for n, one in enumerate(people):
            kinds = [t.kind for t in await one.history()]
            assert kinds == ["accrual", "activation", "expiry", *(["redemption"] * (n < 10))]
    await assert_clean(database)


async def test_a_sweep_leaves_out_whom_somebody_else_has_locked(
    ledger: Ledger, clock: Clock, database: TestDatabase
) -> None:
    """SKIP LOCKED (DESIGN 6): it waits for nobody, and finds them the next time."""
    people = [Customer(ledger, clock) for _ in range(4)]
    for one in people:
        await one.give(10, active=5)
    clock.seconds = 6
    foreign = await asyncpg.connect(database.owner_url)
    async with foreign.transaction():
        await foreign.execute(
            "SELECT FROM ledger.balances WHERE customer_id = $1 FOR UPDATE", people[1].id
        )
        async with asyncio.timeout(0.4):  # less than a lock's timeout
            assert await post_due(ledger) == 3
    await foreign.close()
    assert [len(await one.history()) for one in people] == [2, 1, 2, 2]
    assert await post_due(ledger) == 1
    assert await stuck(ledger.pool, 10) == []


LARGEST = """
SELECT max(written) FROM (
    SELECT count(*) AS written FROM ledger.transactions t JOIN ledger.postings
    USING (customer_id, version) WHERE t.kind <> 'accrual' GROUP BY t.xid) AS groups
"""


@pytest.mark.parametrize("who", ["a sweep", "bulk", "tills"])
async def test_whoever_was_not_seen_for_years_makes_no_group_without_bounds(
    who: str, clock: Clock, database: TestDatabase
) -> None:
    """Each brings along all that has become due since: a group ends within its time."""
    due, most = 40, 100
    async with Ledger(
        database.url, clock=clock, group_postings=most, bulk_group_postings=most
    ) as ledger:
        people = [Customer(ledger, clock) for _ in range(12)]
        for one in people:
            await one.accrue(*(lot(10, expires=n) for n in range(1, due + 1)), lot(1))
        clock.seconds = due + 1
        if who == "a sweep":
            found = []
            while swept := await post_due(ledger):
                found.append(swept)
            assert found == [3, 3, 3, 3]
        elif who == "bulk":
            spent = [one.command("redemption", c.Redeem(1)) for one in people]
            assert all(isinstance(fate, Result) for fate in await ledger.execute_many(spent))
        else:
            await asyncio.gather(*(one.redeem(1) for one in people))
        for one in people:
            kinds = [t.kind for t in await one.history()]
            assert kinds == ["accrual"] + ["expiry"] * due + ["redemption"] * (who != "a sweep")
    owner = await asyncpg.connect(database.owner_url)
    assert await owner.fetchval(LARGEST) < most + due + 2
    await owner.close()
    await assert_clean(database)


BROKEN = {
    "a balance that cannot be written": (
        "UPDATE ledger.balances SET available = 0 WHERE customer_id = $1",
        "UPDATE ledger.balances SET available = 45 WHERE customer_id = $1",
        "CheckViolationError",
    ),
    "a hold whose lot is gone": (
        "UPDATE ledger.holds SET lots = ARRAY[gen_random_uuid()] WHERE customer_id = $1",
        "UPDATE ledger.holds SET lots = ARRAY(SELECT id FROM ledger.lots"
        " WHERE customer_id = $1 AND held > 0) WHERE customer_id = $1",
        "KeyError",
    ),
}


@pytest.mark.parametrize("how", BROKEN)
async def test_a_broken_customer_is_set_aside_and_stops_no_other(
    how: str, ledger: Ledger, clock: Clock, database: TestDatabase
) -> None:
    """With the error, tried again at growing distances, and forgotten once it is right."""
    breaking, mending, error = BROKEN[how]
    people = [Customer(ledger, clock) for _ in range(9)]
    for one in people:
        await one.accrue(lot(20, expires=8), lot(30))
        await one.hold(5, 8)
    broken = people[4].id
    superuser = await asyncpg.connect(database.superuser_url)
    await superuser.execute(breaking, broken)
    clock.seconds = 10
    assert await post_due(ledger) == 9
    assert await post_due(ledger) == 0, "it is not found again at once"
    assert [len(await one.history()) for one in people] == [4] * 4 + [2] + [4] * 4
    tries = []
    for _ in range(5):
        (found,) = await stuck(ledger.pool, 10)
        assert (found.customer_id, found.since) == (broken, Clock.at(10))
        assert error in found.error
        tries.append((found.attempts, (found.again_at - clock()).total_seconds()))
        clock.seconds += tries[-1][1]
        assert await post_due(ledger) == 1
    assert tries == [(1, 60), (2, 120), (3, 240), (4, 480), (5, 960)]
    await superuser.execute(mending, broken)
    await superuser.close()
    clock.seconds += 2 * DAY
    assert await post_due(ledger) == 1
    assert len(await people[4].history()) == 4
    assert await stuck(ledger.pool, 10) == []
    await assert_clean(database)


# Settling: a restored point pays the debt its own revocation had left


async def test_restored_points_pay_the_debt_of_their_own_lot(
    one: Customer, database: TestDatabase
) -> None:
    """100 given, 70 spent, the giving sale returned (debt 70); the spending one is returned."""
    earned = await one.give(100)
    spent = await one.redeem(70)
    back = await one.revoke(earned)
    assert [(p.debit, p.credit, p.amount) for p in back.postings] == [
        ("available", "issued", 30),
        ("debt", "issued", 70),
    ]
    for points, debt in ((20, 50), (50, 0)):
        done = await one.restore(spent, points)
        assert [(p.kind, p.debit, p.credit, p.amount) for p in done.postings] == [
            ("restore", "redeemed", "available", points),
            ("settle", "available", "debt", points),
        ]
        assert (done.after.available, done.after.debt) == (0, debt)
    await assert_clean(database)


async def test_restored_points_keep_what_the_lot_does_not_owe(one: Customer) -> None:
    """Half of the sale was returned: the lot owes 20 of the 70 that come back."""
    earned = await one.give(100)
    spent = await one.redeem(70)
    part = ((earned.postings[0].lot_id, None, 50),)
    await one.do("revocation", c.Revoke(earned.id, part))
    assert (await one.state()).debt == 20
    done = await one.restore(spent)
    assert (moved(done, "restore"), moved(done, "settle")) == (70, 20)
    assert (done.after.available, done.after.debt) == (50, 0)


async def test_a_debt_paid_by_others_is_not_settled_again(one: Customer) -> None:
    """The next accrual paid the debt: what comes back is the customer's."""
    earned = await one.give(100)
    spent = await one.redeem(100)
    await one.revoke(earned)
    paying = await one.give(100)
    assert (moved(paying, "accrue"), paying.after.available, paying.after.debt) == (100, 0, 0)
    done = await one.restore(spent)
    assert (moved(done, "settle"), done.after.available, done.after.debt) == (0, 100, 0)


async def test_a_debt_of_another_lot_is_not_settled(one: Customer) -> None:
    """The debt stays a debt beside the points that came back; it stops them from being spent."""
    first = await one.give(50, expires=100)
    first_spent = await one.redeem(50)
    second = await one.give(30)
    second_spent = await one.redeem(30)
    await one.revoke(first)
    done = await one.restore(second_spent)
    assert (moved(done, "settle"), done.after.available, done.after.debt) == (0, 30, 50)
    with pytest.raises(Refusal) as no:
        await one.redeem(1)
    assert no.value.members == {"available": 0}
    done = await one.restore(first_spent, 45)
    assert (moved(done, "settle"), done.after.available, done.after.debt) == (45, 30, 5)
    assert (await one.redeem(25)).after.available == 5
    assert await one.left(first, second) == [0, 5]


async def test_what_is_restored_to_an_expired_lot_settles_first_then_expires(
    one: Customer, clock: Clock, database: TestDatabase
) -> None:
    earned = await one.give(100, expires=10)
    spent = await one.redeem(70)
    await one.do("revocation", c.Revoke(earned.id, ((earned.postings[0].lot_id, None, 60),)))
    clock.seconds = 20
    done = await one.restore(spent)
    assert (moved(done, "restore"), moved(done, "settle")) == (70, 30)
    assert told(await one.history())[3:] == [("restoration", 20, 40, 0), ("expiry", 20, 0, 0)]
    assert (await one.state()).debt == 0
    await assert_clean(database)
