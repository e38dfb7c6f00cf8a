"""A lane: poison fails alone, limits hold, nobody disturbs another (DESIGN: group commit)."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from typing import Any
from uuid import UUID

import asyncpg
import pytest

from ledger import commands as c
from ledger.errors import Refusal, Unavailable
from ledger.group import Result
from ledger.service import Ledger
from tests.conftest import TestDatabase
from tests.ledger.conftest import Clock
from tests.ledger.house import Customer, assert_clean

RIDER = c.Statement(
    "a rider",
    "INSERT INTO ledger.sources SELECT * FROM unnest($1::text[], $2::uuid[], $3::uuid[])",
    3,
)


def give(one: Customer, points: int = 10, **more: Any) -> c.Command:
    return one.command("accrual", c.Accrue((c.Grant("base", ((None, points),)),)), **more)


def broken(*_: Any) -> Any:
    raise LookupError("a defect of the caller's")


def answer(status: int, body: Any) -> Callable[[Any], c.Completion]:
    return lambda outcome: c.Completion(c.Answer(status, body))


POISONS: dict[str, Callable[[Customer], c.Command]] = {
    "NUL in the reason": lambda one: give(one, reason="a\0b"),
    "NUL in the key": lambda one: give(one, key="\0", complete=answer(201, b"")),
    "NUL in the source": lambda one: give(one, source="\0"),
    "half a character": lambda one: give(one, author="\ud800"),
    "a status that is none": lambda one: give(one, key="k", complete=answer(2**15, b"")),
    "an answer that is no bytes": lambda one: give(one, key="k", complete=answer(201, "text")),
    "a rider's row that violates a constraint": lambda one: give(
        one, complete=lambda outcome: c.Completion(None, ((RIDER, ("rider", None, None)),))
    ),
    "a rider's row of the wrong type": lambda one: give(
        one, complete=lambda outcome: c.Completion(None, ((RIDER, ("rider", 1, 2)),))
    ),
    "a completion that raises": lambda one: give(one, complete=broken),
    "a spread that raises": lambda one: one.command("redemption", c.Redeem(1, None, broken)),
    "a lot without a life": lambda one: one.command(
        "accrual", c.Accrue((c.Grant("base", ((None, 1),), one.clock.at(9), one.clock.at(9)),))
    ),
    "a negative redemption": lambda one: one.command("redemption", c.Redeem(-5)),
    "no customer": lambda one: c.Command(
        customer_id=None, kind="accrual", occurred_at=one.clock(), steps=(c.Redeem(1),)
    ),
}


@pytest.mark.parametrize("poison", POISONS.values(), ids=POISONS)
async def test_a_poison_command_fails_alone(
    ledger: Ledger, clock: Clock, database: TestDatabase, poison: Callable[[Customer], c.Command]
) -> None:
    """Its neighbours commit, among them those of the same customer before and after it."""
    victim, *others = (Customer(ledger, clock) for _ in range(3))
    await victim.give(100)
    group = [give(victim), give(others[0]), poison(victim), give(victim), give(others[1])]
    fates = await ledger.execute_many(group)
    assert [isinstance(fate, Result) for fate in fates] == [True, True, False, True, True]
    assert not isinstance(fates[2], Refusal | Unavailable)
    assert [await one.available() for one in (victim, *others)] == [120, 10, 10]
    report = await assert_clean(database)
    assert report.transactions == 5

    fates = await asyncio.gather(
        *(ledger.execute(command) for command in group), return_exceptions=True
    )
    assert [isinstance(fate, Result) for fate in fates] == [True, True, False, True, True]


@pytest.mark.parametrize("points", [2**60, 2**63, 2**200])
async def test_more_points_than_can_be_counted_are_refused(
    ledger: Ledger, clock: Clock, points: int
) -> None:
    """A refusal, so nobody's group is split for it; up to the limit everything is counted."""
    one, other = Customer(ledger, clock), Customer(ledger, clock)
    await one.give(2**59)
    fates = await ledger.execute_many([give(one, points), give(other), give(one, 2**59)])
    assert isinstance(fates[0], Refusal)
    assert fates[0].code == "balance_limit"
    assert [isinstance(fate, Result) for fate in fates[1:]] == [True, True]
    assert await one.available() == 2**60
    assert ledger.bulk_lane.groups == 1


async def test_a_rejected_group_splits_in_halves(ledger: Ledger, clock: Clock) -> None:
    """[0 1][2][3][4 5 6 7]: what is committed, and the culprit, after four attempts that failed."""
    people = [Customer(ledger, clock) for _ in range(8)]
    commands = [give(one) for one in people]
    commands[3] = give(people[3], reason="\0")
    await ledger.execute_many(commands)
    assert (ledger.bulk_lane.groups, ledger.bulk_lane.commands) == (4, 8)
    assert [await one.available() for one in people] == [10, 10, 10, 0, 10, 10, 10, 10]
    async with ledger.pool.acquire() as connection:
        xids = await connection.fetch(
            "SELECT customer_id, xid FROM ledger.transactions WHERE customer_id = ANY($1)",
            [one.id for one in people],
        )
    of = dict(tuple(row) for row in xids)
    assert of[people[0].id] == of[people[1].id] < of[people[2].id] < of[people[4].id]
    assert len({of[one.id] for one in people[4:]}) == 1


async def test_commands_that_wait_together_commit_together(ledger: Ledger, clock: Clock) -> None:
    (lane,) = ledger.lanes
    await asyncio.gather(*(ledger.execute(give(Customer(ledger, clock))) for _ in range(100)))
    assert lane.commands == 100
    assert lane.groups <= 3


@asynccontextmanager
async def held(database: TestDatabase, customer: Customer) -> AsyncIterator[None]:
    """A foreign session holds the customer's row."""
    await customer.give(100)
    foreign = await asyncpg.connect(database.owner_url)
    transaction = foreign.transaction()
    await transaction.start()
    await foreign.execute(
        "SELECT FROM ledger.balances WHERE customer_id = $1 FOR UPDATE", customer.id
    )
    try:
        yield
    finally:
        await transaction.rollback()
        await foreign.close()


async def waiting(database: TestDatabase) -> int:
    """Wait until a lane waits for a lock; its backend's process id."""
    superuser = await asyncpg.connect(database.superuser_url)
    query = """SELECT pid FROM pg_stat_activity WHERE application_name = 'bonus lane'
               AND wait_event_type = 'Lock' AND datname = current_database()"""
    try:
        async with asyncio.timeout(5):
            while (pid := await superuser.fetchval(query)) is None:  # noqa: ASYNC110
                await asyncio.sleep(0.005)
    finally:
        await superuser.close()
    return int(pid)


async def test_a_customer_locked_by_a_foreign_session_hears_so_alone(
    ledger: Ledger, clock: Clock, database: TestDatabase
) -> None:
    locked, *others = (Customer(ledger, clock) for _ in range(4))
    async with held(database, locked):
        fates = await ledger.execute_many([give(one) for one in (others[0], locked, *others[1:])])
        assert [isinstance(fate, Result) for fate in fates] == [True, False, True, True]
        assert isinstance(fates[1], Unavailable)
        assert "customer is busy" in str(fates[1])
    assert [await one.available() for one in (locked, *others)] == [100, 10, 10, 10]
    await locked.give(10)
    await assert_clean(database)


async def test_a_full_lane_takes_no_more(clock: Clock, database: TestDatabase) -> None:
    async with Ledger(database.url, clock=clock, capacity=2) as ledger:
        locked, other = Customer(ledger, clock), Customer(ledger, clock)
        async with held(database, locked):
            running = asyncio.create_task(locked.give(1))
            await waiting(database)
            queued = [asyncio.create_task(other.give(1)) for _ in range(2)]
            await asyncio.sleep(0)
            assert ledger.lanes[0].depth == 2
            with pytest.raises(Unavailable, match="Too many") as full:
                await other.give(1)
            assert full.value.retry_after_s == 1
        await asyncio.gather(running, *queued)
        await other.give(1)
        assert (await locked.available(), await other.available()) == (101, 3)


async def test_a_closing_lane_drains_what_it_accepted(clock: Clock, database: TestDatabase) -> None:
    async with Ledger(database.url, clock=clock, group_size=7) as ledger:
        one = Customer(ledger, clock)
        accepted = [asyncio.create_task(one.give(1)) for _ in range(50)]
        bulk = asyncio.create_task(ledger.execute_many([give(one, 1)] * 50))
        await asyncio.sleep(0)
        closing = asyncio.create_task(ledger.close())
        for _ in range(3):
            await asyncio.sleep(0)
        with pytest.raises(Unavailable, match="shutting down"):
            await one.give(1)
        await closing
        assert all(task.done() for task in (*accepted, bulk))
        assert all(isinstance(fate, Result) for fate in await bulk)
    async with Ledger(database.url, clock=clock) as ledger:
        assert await one.at(ledger).available() == 100


async def test_a_waiter_that_gave_up_disturbs_nobody(
    ledger: Ledger, clock: Clock, database: TestDatabase
) -> None:
    """Queued, its command does not happen any more; under way, it happens unheard."""
    locked, gone, stays = (Customer(ledger, clock) for _ in range(3))
    async with held(database, locked):
        under_way = asyncio.create_task(locked.give(1))
        await waiting(database)
        queued = [asyncio.create_task(one.give(1)) for one in (gone, stays)]
        await asyncio.sleep(0)
        for task in (under_way, queued[0]):
            task.cancel()
        await asyncio.wait([under_way, queued[0]])
    assert (await queued[1]).version == 1
    assert under_way.cancelled()
    assert queued[0].cancelled()
    assert [await one.available() for one in (locked, gone, stays)] == [101, 0, 1]
    await assert_clean(database)


async def test_an_impatient_caller_repeats_with_the_same_key(
    ledger: Ledger, clock: Clock, database: TestDatabase
) -> None:
    one = Customer(ledger, clock)
    command = give(one, key="slow", complete=answer(201, b"done"))
    async with held(database, one):
        with pytest.raises(Unavailable, match="may still happen"):
            await ledger.execute(command, timeout_s=0.1)
    assert (await ledger.execute(command)).answer == c.Answer(201, b"done")
    assert await one.available() == 110


async def test_a_connection_lost_on_the_way(
    ledger: Ledger, clock: Clock, database: TestDatabase
) -> None:
    """With a key or a source the command goes on, once; without, nobody may know: Unavailable."""
    superuser = await asyncpg.connect(database.superuser_url)
    safe: list[dict[str, Any]] = [
        {"key": "k", "complete": answer(201, b"")},
        {"source": "receipt"},
    ]
    for more in safe:
        one = Customer(ledger, clock)
        async with held(database, one):
            task = asyncio.create_task(ledger.execute(give(one, **more)))
            await superuser.execute("SELECT pg_terminate_backend($1)", await waiting(database))
        assert (await task).succeeded
        assert await one.available() == 110
    async with held(database, one := Customer(ledger, clock)):
        task = asyncio.create_task(ledger.execute(give(one)))
        await superuser.execute("SELECT pg_terminate_backend($1)", await waiting(database))
        with pytest.raises(Unavailable, match="database is away"):
            await task
    await superuser.close()
    assert await one.available() == 100
    await one.give(1)
    await assert_clean(database)


async def test_customers_hash_to_lanes(clock: Clock, database: TestDatabase) -> None:
    async with Ledger(database.url, clock=clock, lanes=3) as ledger:
        people = [Customer(ledger, clock, UUID(int=n + 1)) for n in range(30)]
        await asyncio.gather(*(one.give(1) for one in people for _ in range(2)))
        assert [lane.commands for lane in ledger.lanes] == [20, 20, 20]
        await asyncio.gather(
            *(one.transfer(people[n - 7], 1) for n, one in enumerate(people) for _ in range(2))
        )
        assert [await one.available() for one in people] == [2] * 30
    await assert_clean(database)
