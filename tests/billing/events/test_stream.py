"""The stream: in the order of commits, nothing skipped, nothing twice (DESIGN 6, watermark)."""

from __future__ import annotations

import asyncio
from datetime import timedelta

import asyncpg
import pytest
from sqlalchemy import text

from billing.common.db import Database
from billing.events.model import event_id
from billing.events.reading import ROWS, oldest_waiting
from billing.events.schemas import CustomerVerified, ProgramPublished
from billing.events.store import New, event_row, record, record_many
from billing.events.stream import CursorAhead
from ledger.commands import Accrue, Command, Completion
from ledger.ids import uuid7
from ledger.service import Ledger
from tests.billing.events.consumer import Consumer, Killed, data_of
from tests.conftest import TestDatabase
from tests.ledger.conftest import START, Clock
from tests.ledger.house import Customer, lot

AT_ONCE = 500
PUBLISHED = ProgramPublished(
    program="base-5", version=1, type="accrual", name="5%", effective_from=START
)


async def test_a_transaction_that_commits_late_is_waited_for(
    ledger: Ledger, clock: Clock, consumer: Consumer, database: TestDatabase
) -> None:
    late = await asyncpg.connect(database.url, server_settings={"role": "bonus_app"})
    slow = late.transaction()
    await slow.start()
    await late.execute(
        "INSERT INTO billing.events (id, type, occurred_at, data)"
        " VALUES ($1, 'program.published', now(), '{}')",
        uuid7(),
    )
    customer = Customer(ledger, clock)
    await customer.give(100)
    assert await consumer.types() == []
    await slow.commit()
    await late.close()
    assert await consumer.types() == ["program.published", "points.accrued"]


async def test_events_of_a_customer_keep_the_order_of_the_journal(
    ledger: Ledger, clock: Clock, consumer: Consumer
) -> None:
    customers = [Customer(ledger, clock) for _ in range(5)]
    small = Consumer(consumer.database, clock, chunk=7)
    commands = [one.command("accrual", Accrue((lot(7),))) for _ in range(12) for one in customers]
    assert not [f for f in await ledger.execute_many(commands) if isinstance(f, BaseException)]
    await asyncio.gather(*(one.redeem(1) for one in customers for _ in range(3)))
    told = await small.catch_up()
    assert len(told) == 75
    for one in customers:
        versions = [data_of(event)["version"] for event in told if event.customer_id == one.id]
        assert versions == list(range(1, 16))


async def test_a_consumer_killed_in_the_middle_is_told_again_and_has_it_once(
    ledger: Ledger, clock: Clock, consumer: Consumer
) -> None:
    customer = Customer(ledger, clock)
    made = [await customer.give(points) for points in (1, 2, 3)]
    consumer.dies = True
    for _ in range(2):
        with pytest.raises(Killed):
            await consumer.stream.advance()
    assert await consumer.committed() == []
    consumer.dies = False
    await consumer.catch_up()
    expected = [event_id(one.id, "points.accrued") for one in made]
    assert sorted(await consumer.committed()) == sorted(expected)
    assert [event.id for event in consumer.told] == expected * 3


async def test_several_side_by_side_tell_each_event_once(
    ledger: Ledger, clock: Clock, consumer: Consumer
) -> None:
    customer = Customer(ledger, clock)
    others = [Consumer(consumer.database, clock, chunk=3) for _ in range(3)]
    for _ in range(20):
        await customer.give(1)

    async def race(one: Consumer) -> None:
        for _ in range(20):
            await one.stream.advance()

    await asyncio.gather(*(race(one) for one in others))
    assert len(await consumer.catch_up() + [e for one in others for e in one.told]) == 20
    assert len(await consumer.committed()) == 20


async def test_a_consumer_begins_where_it_first_asks_and_knows_of_no_other(
    ledger: Ledger, clock: Clock, consumer: Consumer
) -> None:
    customer = Customer(ledger, clock)
    await customer.give(1)
    newcomer = Consumer(consumer.database, clock, "newcomer")
    assert await newcomer.catch_up() == []
    await customer.give(2)
    assert len(await newcomer.catch_up()) == 1
    assert await oldest_waiting(consumer.database, "newcomer") is None
    assert await oldest_waiting(consumer.database, "test") == START
    assert consumer.told == []


async def test_what_nobody_wants_is_passed_over_at_once(
    ledger: Ledger, clock: Clock, consumer: Consumer
) -> None:
    customer = Customer(ledger, clock)
    consumer.wants = False
    for _ in range(3):
        await customer.give(1)
    assert [await consumer.stream.advance() for _ in range(2)] == [True, False]
    consumer.wants = True
    await customer.give(1)
    assert [data_of(event)["version"] for event in await consumer.catch_up()] == [4]


async def test_what_is_recorded_comes_with_its_transaction_or_not_at_all(
    billing: Database, ledger: Ledger, clock: Clock, consumer: Consumer
) -> None:
    customer = Customer(ledger, clock)
    verified = CustomerVerified(customer_id=customer.id, channel=None, store=None)
    async with billing.engine.connect() as tx:
        await record(tx, PUBLISHED, START)
        await tx.rollback()
    async with billing.transaction() as tx:
        await record(tx, PUBLISHED, START)
    rider = New(verified, START)
    await customer.accrue(lot(1), complete=lambda _: Completion(rows=(event_row(rider),)))
    told = await consumer.catch_up()
    assert [e.type for e in told] == ["program.published", "points.accrued", "customer.verified"]
    assert [e.customer_id for e in told] == [None, customer.id, customer.id]


async def test_a_transaction_is_told_a_part_at_a_time_however_much_it_wrote(
    ledger: Ledger, clock: Clock, consumer: Consumer, database: TestDatabase
) -> None:
    """A group of the ledger: 900 customers, each with an event of its own, one of many postings."""
    customers = [Customer(ledger, clock) for _ in range(900)]
    many = Accrue(tuple(lot(one + 1) for one in range(2 * ROWS)))

    def given(one: Customer) -> Command:
        verified = CustomerVerified(customer_id=one.id, channel=None, store=None)
        rider = event_row(New(verified, START))
        step = many if one is customers[450] else Accrue((lot(7), lot(8)))
        return one.command("accrual", step, complete=lambda _: Completion(rows=(rider,)))

    fates = await ledger.execute_many([given(one) for one in customers])
    assert not [fate for fate in fates if isinstance(fate, BaseException)]
    owner = await asyncpg.connect(database.owner_url)
    assert await owner.fetchval("SELECT count(DISTINCT xid) FROM ledger.transactions") == 1
    await owner.close()
    small = Consumer(consumer.database, clock, at_once=AT_ONCE)
    told = await small.catch_up()
    assert small.most == AT_ONCE
    assert [event.type for event in told] == ["points.accrued"] * 900 + ["customer.verified"] * 900
    assert [event.customer_id for event in told] == sorted(one.id for one in customers) + [
        one.id for one in customers
    ]
    assert len({event.id for event in told}) == 1800
    (large,) = [data_of(e) for e in told[:900] if e.customer_id == customers[450].id]
    assert large["points"]["total"] == f"{sum(range(1, 2 * ROWS + 1)) / 100:.2f}"


async def test_an_event_with_an_id_of_its_own_is_written_once(
    billing: Database, consumer: Consumer
) -> None:
    once = New(PUBLISHED, START + timedelta(1), uuid7())
    counts = []
    for _ in range(2):
        async with billing.transaction() as tx:
            counts.append(await record_many(tx, [once, New(PUBLISHED, START)]))
    assert counts == [2, 1]
    assert len(await consumer.catch_up()) == 3


async def test_events_are_append_only(billing: Database) -> None:
    for forbidden in ("UPDATE billing.events SET type = 'x'", "DELETE FROM billing.events"):
        with pytest.raises(asyncpg.InsufficientPrivilegeError):
            await billing.fetch(forbidden)


async def test_a_journal_brought_into_a_new_server_is_noticed(
    billing: Database, consumer: Consumer
) -> None:
    async with billing.transaction() as tx:
        await tx.execute(text("UPDATE billing.event_cursors SET xid = xid + 1000000"))
    with pytest.raises(CursorAhead, match="bonus migrate"):
        await consumer.stream.advance()
