"""The jobs' queries. The database's clock counts; `started_at` tells two holders of a job apart."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any
from uuid import UUID

import asyncpg
import msgspec
from sqlalchemy import text
from sqlalchemy.ext.asyncio import AsyncConnection

from billing.common.db import Database
from billing.jobs.model import Claim, Job, Progress

STALE_S = 60
"""A job whose heartbeat stood still for so long has lost its worker."""
LIFETIME_S = 6 * 3600
"""A job that was begun and is not done by then ends whatever works on it, again and again."""

_FIELDS = """
id, kind, parameters::text AS parameters, state, progress, total, result::text AS result, error,
author, created_at, started_at, finished_at
"""

_READ = f"SELECT {_FIELDS} FROM billing.jobs WHERE id = $1"

_WAITING = """
SELECT count(*) FROM (
    SELECT FROM billing.jobs WHERE kind = $1 AND state = 'queued' LIMIT $2) AS waiting
"""

_INSERT = text("""
INSERT INTO billing.jobs (id, kind, parameters, author)
VALUES (:id, :kind, CAST(:parameters AS jsonb), :author)
""")

_CANCEL = text("""
UPDATE billing.jobs SET state = 'cancelled', finished_at = clock_timestamp()
WHERE id = :id AND state IN ('queued', 'running')
""")

ADVISORY_LOCK = 0x626F6E7573_03
"""Claims come one after another ("bonus", 3): otherwise two could each see that no other job of
the kind runs."""

_ONE_BY_ONE = text("SELECT pg_advisory_xact_lock(:lock)")

_GIVE_UP = text("""
UPDATE billing.jobs SET state = 'failed', finished_at = clock_timestamp(),
    error = 'It was begun again and again and never came to an end; ask for less at once.'
WHERE state IN ('queued', 'running') AND started_at IS NOT NULL
  AND (state = 'queued' OR heartbeat_at < clock_timestamp() - make_interval(secs => :stale))
  AND created_at < clock_timestamp() - make_interval(secs => :lifetime)
""")

_CLAIM = text("""
UPDATE billing.jobs SET state = 'running', started_at = clock_timestamp(),
    heartbeat_at = clock_timestamp(), progress = 0, total = NULL, error = NULL
WHERE id = (
    SELECT j.id FROM billing.jobs j
    WHERE j.kind = ANY(:kinds)
      AND (j.state = 'queued' OR (j.state = 'running'
           AND j.heartbeat_at < clock_timestamp() - make_interval(secs => :stale)))
      AND NOT EXISTS (
        SELECT FROM billing.jobs r
        WHERE r.kind = j.kind AND r.state = 'running'
          AND r.heartbeat_at >= clock_timestamp() - make_interval(secs => :stale))
    ORDER BY j.created_at, j.id LIMIT 1 FOR UPDATE SKIP LOCKED)
RETURNING id, kind, parameters::text AS parameters, started_at
""")

_HELD = "WHERE id = :id AND state = 'running' AND started_at = :started_at"

_BEAT = text(f"""
UPDATE billing.jobs SET heartbeat_at = clock_timestamp(), progress = :progress, total = :total
{_HELD}
""")

_DONE = text(f"""
UPDATE billing.jobs SET state = 'done', finished_at = clock_timestamp(), progress = :progress,
    total = :total, result = CAST(:result AS jsonb) {_HELD}
""")

_FAILED = text(f"""
UPDATE billing.jobs SET state = 'failed', finished_at = clock_timestamp(), error = :error {_HELD}
""")

_RELEASE = text(f"UPDATE billing.jobs SET state = 'queued', heartbeat_at = NULL {_HELD}")


async def read(database: Database, job_id: UUID) -> Job | None:
    rows = await database.fetch(_READ, job_id)
    return _job(rows[0]) if rows else None


async def count_waiting(database: Database, kind: str, limit: int) -> int:
    """How many jobs of a kind wait, counted up to `limit`."""
    count: int = (await database.fetch(_WAITING, kind, limit))[0][0]
    return count


async def insert(
    tx: AsyncConnection, job_id: UUID, kind: str, parameters: object, author: str
) -> None:
    given = msgspec.json.encode(parameters).decode()
    await tx.execute(_INSERT, {"id": job_id, "kind": kind, "parameters": given, "author": author})


async def cancel(tx: AsyncConnection, job_id: UUID) -> None:
    """What is not over, is over now."""
    await tx.execute(_CANCEL, {"id": job_id})


async def claim(tx: AsyncConnection, kinds: Sequence[str]) -> Claim | None:
    """The oldest job that nobody works on, if no other one of its kind runs; it is ours."""
    await tx.execute(_ONE_BY_ONE, {"lock": ADVISORY_LOCK})
    await tx.execute(_GIVE_UP, {"stale": STALE_S, "lifetime": LIFETIME_S})
    found = await tx.execute(_CLAIM, {"kinds": list(kinds), "stale": STALE_S})
    row = found.one_or_none()
    if row is None:
        return None
    return Claim(row.id, row.kind, msgspec.json.decode(row.parameters), row.started_at)


async def beat(tx: AsyncConnection, held: Claim, progress: Progress) -> bool:
    """Show that somebody works on it; False when it is ours no more."""
    return await _of_holder(tx, _BEAT, held, progress=progress.done, total=progress.total)


async def finish(tx: AsyncConnection, held: Claim, progress: Progress, result: bytes) -> bool:
    return await _of_holder(
        tx, _DONE, held, progress=progress.done, total=progress.total, result=result.decode()
    )


async def fail(tx: AsyncConnection, held: Claim, error: str) -> bool:
    return await _of_holder(tx, _FAILED, held, error=error)


async def release(tx: AsyncConnection, held: Claim) -> bool:
    """Back into the queue, at its old place."""
    return await _of_holder(tx, _RELEASE, held)


async def _of_holder(tx: AsyncConnection, statement: Any, held: Claim, **values: Any) -> bool:
    given = {"id": held.id, "started_at": held.started_at, **values}
    return (await tx.execute(statement, given)).rowcount == 1


def _job(row: asyncpg.Record) -> Job:
    values = dict(row)
    for name in ("parameters", "result"):
        values[name] = msgspec.json.decode(values[name]) if values[name] is not None else None
    return Job(**values)
