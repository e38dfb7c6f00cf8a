"""The stream's queries: what was committed, in the order of commits.

Every row carries the id of the transaction that wrote it. All transactions below the oldest one
still running are over, so what is read below that is whole: a transaction that commits late is
never skipped, it is waited for. Nothing here asks what time it is.
"""

from __future__ import annotations

from collections.abc import AsyncIterable, AsyncIterator, Sequence
from datetime import datetime
from typing import Any

import asyncpg
from sqlalchemy import text
from sqlalchemy.ext.asyncio import AsyncConnection

from billing.common.db import Database
from billing.events.journal import Entry, Movement, events_of
from billing.events.model import Event
from ledger.load import Connection

ADVISORY_CLASS = 0x62_65_76
"""Advisory locks of consumers: ("bev", hash of the name)."""

NEWS_TIMEOUT_S = 5.0
CHUNK = 1000
AT_ONCE = 5000
"""Events in memory at a time: all of a chunk, but for one that a very large transaction ends."""
ROWS = 1000
"""Rows of the journal fetched at a time."""

_LEAD = text("SELECT pg_try_advisory_xact_lock(:class, hashtext(:consumer))")

BY_INDEX = """
SELECT set_config(name, 'off', true)
FROM unnest(ARRAY['enable_seqscan', 'enable_bitmapscan', 'enable_hashjoin', 'enable_mergejoin'])
    AS name
"""
"""A chunk is few rows by key, wherever it lies. Left alone, the planner would gather and sort all
that is behind the cursor, for every chunk anew, when there is much of it."""

NEWS = """
SELECT c.xid IS NULL OR c.xid > ledger.horizon()
    OR greatest((SELECT max(xid) FROM ledger.transactions),
                (SELECT max(xid) FROM billing.events)) > c.xid
FROM (SELECT $1::text AS name) AS one
LEFT JOIN billing.event_cursors c ON c.consumer = one.name
"""

_POSITION = text("""
SELECT (SELECT xid FROM billing.event_cursors WHERE consumer = :consumer),
       ledger.horizon()
""")

_PLACE_OF = "(SELECT xid FROM {} WHERE xid > :after AND xid <= :until ORDER BY xid {})"

_SOMETHING = text(
    "SELECT least("
    + ", ".join(_PLACE_OF.format(t, "LIMIT 1") for t in ("ledger.transactions", "billing.events"))
    + ")"
)

BOUND = text(
    "SELECT least("
    + ", ".join(
        _PLACE_OF.format(t, "OFFSET :skipped LIMIT 1")
        for t in ("ledger.transactions", "billing.events")
    )
    + ", :until)"
)

_BOUND = BOUND.text.replace(":after", "$1").replace(":until", "$2").replace(":skipped", "$3")

JOURNAL = """
SELECT t.xid, t.customer_id, t.version, t.id, t.kind, t.occurred_at, t.available_after,
       t.promo_after, t.deferred_after, t.held_after, t.debt_after, t.corrects, t.hold_id,
       t.hold_expires_at, t.source, t.channel, t.store, c.source AS corrected,
       p.kind, p.debit, p.credit, p.amount, p.bucket, p.active_from, p.expires_at, p.program
FROM ledger.transactions t
LEFT JOIN ledger.transactions c ON c.id = t.corrects AND c.customer_id = t.customer_id
JOIN ledger.postings p ON p.customer_id = t.customer_id AND p.version = t.version
WHERE t.xid > $1 AND t.xid <= $2
ORDER BY t.xid, t.customer_id, t.version, p.seq
"""
_HEAD = slice(0, 18)
_POSTING = slice(18, None)
_WHOSE = slice(1, 3)

_EVENTS = """
SELECT id, type, occurred_at, customer_id, data::text, xid FROM billing.events
WHERE xid > $1 AND xid <= $2 ORDER BY xid, seq
"""

_MOVE = text("""
INSERT INTO billing.event_cursors AS c (consumer, xid, moved_at)
VALUES (:consumer, :xid, :now)
ON CONFLICT (consumer) DO UPDATE SET xid = excluded.xid, moved_at = excluded.moved_at
""")

_BEGIN = text("""
INSERT INTO billing.event_cursors (consumer, xid, moved_at)
VALUES (:consumer, ledger.horizon(), :now)
ON CONFLICT (consumer) DO NOTHING
""")

_OLDEST = """
SELECT least(
    (SELECT t.recorded_at FROM ledger.transactions t WHERE t.xid > c.xid ORDER BY t.xid LIMIT 1),
    (SELECT e.occurred_at FROM billing.events e WHERE e.xid > c.xid ORDER BY e.xid LIMIT 1))
FROM billing.event_cursors c WHERE c.consumer = $1
"""


async def is_news(database: Database, consumer: str) -> bool:
    """Whether it is worth a transaction to look closer: one statement, three pages."""
    return bool((await database.fetch(NEWS, consumer, timeout_s=NEWS_TIMEOUT_S))[0][0])


async def lead(tx: AsyncConnection, consumer: str) -> bool:
    """Whether this transaction is the one that moves the consumer's cursor."""
    await tx.execute(text(BY_INDEX))
    found = await tx.scalar(_LEAD, {"class": ADVISORY_CLASS, "consumer": consumer})
    return bool(found)


async def position(tx: AsyncConnection, consumer: str) -> tuple[int | None, int]:
    """The cursor (None for a new consumer), and the last transaction that may be read."""
    cursor, horizon = (await tx.execute(_POSITION, {"consumer": consumer})).one()
    return cursor, horizon


async def is_anything(tx: AsyncConnection, after: int, until: int) -> bool:
    """Whether there is anything to read."""
    return await tx.scalar(_SOMETHING, {"after": after, "until": until}) is not None


async def bound(tx: AsyncConnection, after: int, until: int, limit: int) -> int:
    """Where a chunk of about `limit` rows ends: transactions are read whole."""
    values = {"after": after, "until": until, "skipped": limit - 1}
    found: int = await tx.scalar(BOUND, values)
    return found


async def read(
    connection: Connection, after: int, until: int, *, at_once: int = AT_ONCE
) -> AsyncIterator[list[Event]]:
    """The events of transactions after `after` up to `until`, of a customer in the order of the
    journal, `at_once` at a time. A transaction may have written any number: rows come through
    cursors, so it has to be open in a transaction until the end."""
    told: list[Event] = []
    journal = connection.cursor(JOURNAL, after, until, prefetch=ROWS)
    others = connection.cursor(_EVENTS, after, until, prefetch=ROWS)
    async for event in _merged(_of_journal(journal), _of_others(others)):
        told.append(event)
        if len(told) == at_once:
            yield told
            told = []
    if told:
        yield told


async def events_between(
    connection: Connection, after: int, until: int
) -> AsyncIterator[list[Event]]:
    """The same for any distance, each chunk by index. Needs no `lead`, but a transaction."""
    while after < until:
        end = await connection.fetchval(_BOUND, after, until, CHUNK - 1)
        async for events in read(connection, after, end):
            yield events
        after = end


async def move(tx: AsyncConnection, consumer: str, xid: int, now: datetime) -> None:
    await tx.execute(_MOVE, {"consumer": consumer, "xid": xid, "now": now})


async def begin(tx: AsyncConnection, consumer: str, now: datetime) -> None:
    """Let a new consumer's stream begin here, though nobody follows it yet."""
    await tx.execute(_BEGIN, {"consumer": consumer, "now": now})


async def oldest_waiting(database: Database, consumer: str) -> datetime | None:
    """When the oldest event was recorded that the consumer has not come to."""
    rows = await database.fetch(_OLDEST, consumer)
    return rows[0][0] if rows else None


async def _of_journal(rows: AsyncIterable[asyncpg.Record]) -> AsyncIterator[Event]:
    """The events of transactions, of each of which all postings come one after another."""
    one: list[asyncpg.Record] = []
    async for row in rows:
        if one and row[_WHOSE] != one[0][_WHOSE]:
            for event in _of_transaction(one):
                yield event
            one = []
        one.append(row)
    if one:
        for event in _of_transaction(one):
            yield event


def _of_transaction(rows: Sequence[asyncpg.Record]) -> list[Event]:
    values: tuple[Any, ...] = (*rows[0][_HEAD], [Movement(*row[_POSTING]) for row in rows])
    return events_of(Entry(*values))


async def _of_others(rows: AsyncIterable[asyncpg.Record]) -> AsyncIterator[Event]:
    async for event_id, kind, at, customer, data, xid in rows:
        yield Event(event_id, kind, at, customer, data.encode(), xid)


async def _merged(
    journal: AsyncIterator[Event], others: AsyncIterator[Event]
) -> AsyncIterator[Event]:
    """By transactions; within one the journal is first."""
    other = await anext(others, None)
    async for event in journal:
        while other is not None and other.xid < event.xid:
            yield other
            other = await anext(others, None)
        yield event
    while other is not None:
        yield other
        other = await anext(others, None)
