"""The events of periods, and the bound that writers of the ledger look at."""

from __future__ import annotations

from datetime import datetime
from typing import Any

import asyncpg
import msgspec
from sqlalchemy import text
from sqlalchemy.ext.asyncio import AsyncConnection

from billing.common.db import Database
from billing.periods.model import Event, Late

_FIELDS = (
    "id, period, kind, at, key_id, author, reason, late, request_id, sealed::text AS sealed, digest"
)
_EVENTS = f"SELECT {_FIELDS} FROM billing.period_events ORDER BY at, id"
_BOUND = "SELECT closed_until FROM ledger.closing"

_LOCK = text("SELECT closed_until, late FROM ledger.closing FOR UPDATE")
_MOVE = text("""
UPDATE ledger.closing SET closed_until = :until, late = :late,
    xid = DEFAULT
RETURNING xid
""")
_XID = text("SELECT xid FROM ledger.closing")
_INSERT = text("""
INSERT INTO billing.period_events
    (id, period, kind, at, key_id, author, reason, late, request_id, sealed, digest)
VALUES (:id, :period, :kind, :at, :key_id, :author, :reason, :late, :request_id,
        CAST(:sealed AS jsonb), :digest)
""")


async def events(database: Database) -> list[Event]:
    """All of them, the oldest first: a dozen or two a year."""
    return [_event(row) for row in await database.fetch(_EVENTS)]


async def bound(database: Database) -> datetime:
    """Until when periods are closed."""
    closed_until: datetime = (await database.fetch(_BOUND))[0][0]
    return closed_until


async def lock(tx: AsyncConnection) -> datetime:
    """Until when periods are closed; nobody else moves it while the transaction lasts.

    Writers of the ledger read the row without a lock, so they do not wait.
    """
    row = (await tx.execute(_LOCK)).one()
    closed_until: datetime = row.closed_until
    return closed_until


async def move(tx: AsyncConnection, until: datetime, late: Late) -> None:
    await tx.execute(_MOVE, {"until": until, "late": late})


async def moved_by(tx: AsyncConnection) -> int:
    """The transaction that moved the bound last."""
    xid: int = (await tx.execute(_XID)).scalar_one()
    return xid


async def insert(tx: AsyncConnection, event: Event) -> None:
    values: dict[str, Any] = msgspec.structs.asdict(event)
    if event.sealed is not None:
        values["sealed"] = msgspec.json.encode(event.sealed).decode()
    await tx.execute(_INSERT, values)


async def events_locked(tx: AsyncConnection) -> list[Event]:
    """As `events`, inside a transaction that holds the lock."""
    rows = await tx.execute(text(_EVENTS))
    return [_event(row._mapping) for row in rows]


def _event(row: asyncpg.Record | Any) -> Event:
    values = dict(row)
    if values["sealed"] is not None:
        values["sealed"] = msgspec.json.decode(values["sealed"])
    return Event(**values)
