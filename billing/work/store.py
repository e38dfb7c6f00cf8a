"""Queries of work: what ran, and which processes were seen."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime, timedelta
from typing import Any, Final
from uuid import UUID

import msgspec
from sqlalchemy import text

from billing.common.db import Database
from billing.work.lags import Failed, Lag
from billing.work.model import SEEN_S, Dead, Process, Waiting

KEPT: Final = timedelta(days=30)
TIMEOUT_S: Final = 10.0
ERROR_CHARACTERS: Final = 2000


class RunRow(msgspec.Struct, kw_only=True):
    """A run of an actor; `outcome` None while it goes on."""

    id: UUID
    name: str
    started_at: datetime
    finished_at: datetime | None = None
    outcome: str | None = None
    handled: int | None = None
    error: str | None = None
    repeats: int = 1
    seen_at: datetime | None = None


_SAVE: Final = """
WITH last AS (
    SELECT id, outcome, handled FROM billing.work_runs
    WHERE name = $2 ORDER BY started_at DESC LIMIT 1
), folded AS (
    UPDATE billing.work_runs r
    SET started_at = $3, seen_at = $4, finished_at = $5, repeats = r.repeats + 1
    FROM last
    WHERE r.id = last.id AND r.id <> $1 AND last.outcome = 'done' AND coalesce(last.handled, 0) = 0
      AND $6 = 'done' AND coalesce($7, 0) = 0
      AND NOT EXISTS (SELECT FROM billing.work_runs WHERE id = $1)
    RETURNING r.id
)
INSERT INTO billing.work_runs
    (id, name, started_at, seen_at, finished_at, outcome, handled, error)
SELECT $1, $2, $3::timestamptz, $4::timestamptz, $5::timestamptz, $6::text, $7::bigint, $8
WHERE NOT EXISTS (SELECT FROM folded)
ON CONFLICT (id) DO UPDATE SET seen_at = excluded.seen_at, finished_at = excluded.finished_at,
    outcome = excluded.outcome, handled = excluded.handled, error = excluded.error
"""
"""A run that found nothing to do, right after another one, only moves that one's times."""

SEE: Final = """
INSERT INTO billing.work_processes AS p (id, role, host, pid, started_at, seen_at, leads_since)
VALUES ($1, $2, $3, $4, $5, $6, $7)
ON CONFLICT (id) DO UPDATE SET seen_at = excluded.seen_at, leads_since = excluded.leads_since
"""
LEAVE: Final = "DELETE FROM billing.work_processes WHERE id = $1"

_LAST_RUNS: Final = """
SELECT DISTINCT ON (name) id, name, started_at, finished_at, outcome, handled, error, repeats,
       seen_at
FROM billing.work_runs WHERE started_at > $1 ORDER BY name, started_at DESC
"""

_PROCESSES: Final = """
SELECT id, role, host, pid, started_at, seen_at, leads_since FROM billing.work_processes
WHERE seen_at > $1 ORDER BY role, started_at, id LIMIT 200
"""

_FORGET_RUNS = text("DELETE FROM billing.work_runs WHERE seen_at < :before")
_FORGET_PROCESSES = text("DELETE FROM billing.work_processes WHERE seen_at < :before")


async def save(database: Database, run: RunRow, now: datetime) -> None:
    """Write down how far a run is. Raises Overloaded."""
    error = None if run.error is None else run.error[:ERROR_CHARACTERS]
    values = (run.id, run.name, run.started_at, now, run.finished_at, run.outcome, run.handled)
    await database.fetch(_SAVE, *values, error, timeout_s=TIMEOUT_S)


async def see(database: Database, process: Process) -> None:
    """Write down that a process is there. Raises Overloaded."""
    await database.fetch(SEE, *process_row(process), timeout_s=TIMEOUT_S)


async def leave(database: Database, process_id: UUID) -> None:
    await database.fetch(LEAVE, process_id, timeout_s=TIMEOUT_S)


def process_row(process: Process) -> tuple[Any, ...]:
    """The parameters of SEE."""
    return msgspec.structs.astuple(process)


async def last_runs(database: Database, now: datetime) -> list[RunRow]:
    """The last run of each actor that ran within the time runs are kept."""
    rows = await database.fetch(_LAST_RUNS, now - KEPT)
    return [RunRow(**dict(row)) for row in rows]


async def processes(database: Database, now: datetime) -> list[Process]:
    """Those that were seen lately."""
    rows = await database.fetch(_PROCESSES, now - timedelta(seconds=SEEN_S))
    return [Process(*row) for row in rows]


async def waiting(database: Database, lags: Sequence[Lag], now: datetime) -> list[Waiting]:
    found: list[Waiting] = []
    for lag in lags:
        ((count, oldest),) = await database.fetch(lag.query, now)
        age = 0.0 if oldest is None else max((now - oldest).total_seconds(), 0.0)
        found.append(Waiting(lag.name, count, oldest, age, lag.limit_s, age > lag.limit_s))
    return found


async def dead(database: Database, kinds: Sequence[Failed], now: datetime) -> list[Dead]:
    return [Dead(one.name, *(await database.fetch(one.query, now))[0]) for one in kinds]


async def forget(database: Database, now: datetime) -> None:
    """Drop runs that are too old, and processes that are gone."""
    async with database.transaction(timeout_s=TIMEOUT_S) as tx:
        await tx.execute(_FORGET_RUNS, {"before": now - KEPT})
        await tx.execute(_FORGET_PROCESSES, {"before": now - timedelta(hours=1)})
