"""Whom the closer look of an audit finds something about, the quick look suspects, too."""

from __future__ import annotations

from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from random import Random
from uuid import UUID

import asyncpg
import pytest

from ledger import screening
from ledger.closer import look_closely
from ledger.findings import Finding
from ledger.screening import EVERYBODY, Screened, Stretch, screen
from ledger.service import Ledger
from tests.conftest import TestDatabase
from tests.ledger.conftest import Clock
from tests.ledger.lives import Lives
from tests.ledger.tampering import Connection, Hand, Tables, take_walls_down

CUSTOMERS, STEPS, ROUNDS = 12, 20, 40
PAGES = ((1, 1), (2, 200_000), (3, 5), (7, 20), (50, 40), (8000, 90), (8000, 200_000))
"""Transactions and postings of a page, at most: a few, so that it ends everywhere."""


@pytest.fixture
async def lives(ledger: Ledger, clock: Clock) -> Lives:
    made = Lives(ledger, clock, Random(7), CUSTOMERS)
    await made.live(STEPS)
    return made


@asynccontextmanager
async def rolled_back(database: TestDatabase) -> AsyncIterator[Connection]:
    """A superuser's snapshot, of which nothing stays."""
    connection = await asyncpg.connect(database.superuser_url)
    transaction = connection.transaction(isolation="repeatable_read")
    await transaction.start()
    try:
        yield connection
    finally:
        await transaction.rollback()
        await connection.close()


def limit(page: tuple[int, int], monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(screening, "_PAGE", page[0])
    monkeypatch.setattr(screening, "_MOST", page[1])


async def screened(
    connection: Connection, whom: Sequence[UUID] | Stretch = EVERYBODY
) -> tuple[set[UUID], Screened]:
    """Who is suspected or a stranger; and how much was seen of all."""
    named: set[UUID] = set()
    seen = Screened()
    async for page in screen(connection, whom):
        named |= {*page.suspects, *page.strangers}
        seen.customers += page.customers
        seen.transactions += page.transactions
        seen.postings += page.postings
    return named, seen


async def found(connection: Connection, customers: Sequence[UUID]) -> list[Finding]:
    """What the closer look says of each of them."""
    rows = await connection.fetch("SELECT DISTINCT customer_id FROM ledger.transactions")
    with_history = {row[0] for row in rows}
    return await look_closely(
        connection,
        [one for one in customers if one in with_history],
        [one for one in customers if one not in with_history],
    )


async def tampered(connection: Connection, hand: Hand, customer: UUID) -> list[str]:
    """What was done; nothing, when no number is that large."""
    statements = hand.tamper(customer)
    try:
        async with connection.transaction():
            for statement in statements:
                await connection.execute(statement)
    except asyncpg.DataError:
        return []
    return statements


async def one_round(
    connection: Connection, tables: Tables, customers: Sequence[UUID], random: Random
) -> tuple[dict[UUID, list[str]], list[Finding], set[UUID]]:
    """Tamper with some customers, each in a way of his own: what was done, what the closer look
    finds, and whom the quick one names."""
    hand = Hand(tables, random, nulls=random.random() < 0.3)
    whom: Sequence[UUID] | Stretch = EVERYBODY
    if random.random() < 0.3:
        whom = random.choice((Stretch(customers[2], customers[-2]), customers[1::2]))
    done: dict[UUID, list[str]] = {}
    step = connection.transaction()
    await step.start()
    for one in customers:
        if random.random() < 0.5:
            done[one] = await tampered(connection, hand, one)
    findings = await found(connection, customers)
    named, _ = await screened(connection, whom)
    await step.rollback()
    asked = {
        one
        for one in customers
        if (whom[0] <= one <= whom[-1] if isinstance(whom, Stretch) else one in whom)
    }
    return done, [one for one in findings if one.customer_id in asked], named


async def test_nobody_of_a_sound_ledger_is_suspected(
    lives: Lives, database: TestDatabase, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Whatever a page takes; and each row is seen once."""
    async with rolled_back(database) as connection:
        ids = sorted(one.id for one in lives.customers)
        assert await found(connection, ids) == []
        count = "SELECT count(*) FROM ledger."
        rows = [await connection.fetchval(count + one) for one in ("transactions", "postings")]
        for page in PAGES:
            limit(page, monkeypatch)
            for whom in (EVERYBODY, ids, ids[1:9:2], Stretch(ids[3], ids[5])):
                named, seen = await screened(connection, whom)
                assert not named
                if whom in (EVERYBODY, ids):
                    assert [seen.transactions, seen.postings] == rows
                    assert seen.customers == CUSTOMERS


async def test_whoever_was_tampered_with_is_suspected(
    lives: Lives, database: TestDatabase, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Whatever was changed, taken away, doubled or moved, alone or in pairs that make up for each
    other: with whom the closer look finds something, the quick one names."""
    ids = sorted(one.id for one in lives.customers)
    random = Random(11)
    kinds = set()
    async with rolled_back(database) as connection:
        await take_walls_down(connection)
        tables = await Tables.read(connection)
        for _ in range(ROUNDS):
            limit(random.choice(PAGES[1:]), monkeypatch)
            done, findings, named = await one_round(connection, tables, ids, random)
            kinds |= {one.what for one in findings}
            wrong = {one.customer_id for one in findings}
            assert wrong <= named, [(done.get(one), findings) for one in wrong - named if one]
    assert kinds >= {"transaction", "posting", "balance", "lot", "hold"}
