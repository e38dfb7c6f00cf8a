"""The imports' queries."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime
from typing import Any
from uuid import UUID

import msgspec
from sqlalchemy import text
from sqlalchemy.ext.asyncio import AsyncConnection

from billing.common.db import Database
from billing.imports.model import Lot, Owned, Owner, Reject, Totals

_FIELDS = "id, name, state, author, created_at, digest, job_id"
_READ = f"SELECT {_FIELDS} FROM billing.imports WHERE id = $1"
_BY_NAME = f"SELECT {_FIELDS} FROM billing.imports WHERE name = $1"
_INSERT = text("""
INSERT INTO billing.imports (id, name, state, author, created_at, digest)
VALUES (:id, :name, :state, :author, :created_at, :digest)
ON CONFLICT (name) DO NOTHING
""")
_LOCK = text(f"SELECT {_FIELDS} FROM billing.imports WHERE id = :id FOR UPDATE")
_CLOSE = text("UPDATE billing.imports SET state = 'closed', job_id = :job_id WHERE id = :id")
_PUT_ROWS = text("""
INSERT INTO billing.import_rows AS r
    (import_id, line, state, reason, source, customer_id, points, bucket, occurred_at,
     available_from, expires_at)
SELECT CAST(:import_id AS uuid), n.* FROM unnest(
    CAST(:line AS int[]), CAST(:state AS text[]), CAST(:reason AS text[]),
    CAST(:source AS text[]), CAST(:customer_id AS uuid[]), CAST(:points AS bigint[]),
    CAST(:bucket AS text[]), CAST(:occurred_at AS timestamptz[]),
    CAST(:available_from AS timestamptz[]), CAST(:expires_at AS timestamptz[])) AS n
ON CONFLICT (import_id, line) DO UPDATE
SET state = excluded.state, reason = excluded.reason, source = excluded.source,
    customer_id = excluded.customer_id, points = excluded.points, bucket = excluded.bucket,
    occurred_at = excluded.occurred_at, available_from = excluded.available_from,
    expires_at = excluded.expires_at
""")
_TOTALS = """
SELECT state, reason, bucket, count(*), sum(points)::bigint
FROM billing.import_rows WHERE import_id = $1 GROUP BY state, reason, bucket
"""
_WAITING = """
SELECT line, source, customer_id, points, bucket, occurred_at, available_from, expires_at
FROM billing.import_rows WHERE import_id = $1 AND line > $2 AND state = 'waiting'
ORDER BY line LIMIT $3
"""
_COUNT_WAITING = """
SELECT count(*) FROM billing.import_rows WHERE import_id = $1 AND state = 'waiting'
"""
_REJECTS = """
SELECT line, reason FROM billing.import_rows
WHERE import_id = $1 AND line > $2 AND state = 'rejected' ORDER BY line LIMIT $3
"""
_MARK = text("""
UPDATE billing.import_rows r SET state = n.state, reason = n.reason
FROM unnest(CAST(:line AS int[]), CAST(:state AS text[]), CAST(:reason AS text[]))
    AS n (line, state, reason)
WHERE r.import_id = :import_id AND r.line = n.line
""")
_WAITS = text("""
SELECT EXISTS (SELECT FROM billing.approvals
               WHERE kind = :kind AND subject = :subject AND state IN ('pending', 'approved'))
""")
_REJECT_TWICE = text("""
UPDATE billing.import_rows r SET state = 'rejected', reason = :reason
FROM (SELECT line, row_number() OVER (PARTITION BY source ORDER BY state = 'waiting', line) AS place
      FROM billing.import_rows WHERE import_id = :import_id AND source IS NOT NULL) AS n
WHERE r.import_id = :import_id AND r.line = n.line AND n.place > 1 AND r.state = 'waiting'
""")
COLUMNS = (
    "line", "state", "reason", "source", "customer_id", "points", "bucket", "occurred_at",
    "available_from", "expires_at",
)  # fmt: skip
TIMEOUT_S = 60.0


class Import(msgspec.Struct, frozen=True, kw_only=True):
    """A row of billing.imports."""

    id: UUID
    name: str
    state: str
    author: str
    created_at: datetime
    digest: bytes | None
    job_id: UUID | None


async def insert(tx: AsyncConnection, new: Import) -> bool:
    """False when the name is taken."""
    values = msgspec.structs.asdict(new)
    values.pop("job_id")
    return (await tx.execute(_INSERT, values)).rowcount == 1


async def read(database: Database, import_id: UUID) -> Import | None:
    rows = await database.fetch(_READ, import_id)
    return Import(**dict(rows[0])) if rows else None


async def by_name(database: Database, name: str) -> Import | None:
    rows = await database.fetch(_BY_NAME, name)
    return Import(**dict(rows[0])) if rows else None


async def lock(tx: AsyncConnection, import_id: UUID) -> Import | None:
    row = (await tx.execute(_LOCK, {"id": import_id})).mappings().one_or_none()
    return None if row is None else Import(**dict(row))


async def close(tx: AsyncConnection, import_id: UUID, job_id: UUID | None) -> None:
    await tx.execute(_CLOSE, {"id": import_id, "job_id": job_id})


async def put_rows(
    tx: AsyncConnection,
    import_id: UUID,
    owned: Sequence[Owned],
    rejects: Sequence[tuple[Reject, int]],
) -> None:
    """Lines as they came, those of an earlier upload replaced; rejects with their points."""
    rows: list[tuple[Any, ...]] = [
        (
            one.lot.line, "waiting", None, one.lot.source, one.customer_id, one.lot.points,
            one.lot.bucket, one.lot.occurred_at, one.lot.available_from, one.lot.expires_at,
        )
        for one in owned
    ]  # fmt: skip
    rows += [
        (one.line, "rejected", one.reason, None, None, points, None, None, None, None)
        for one, points in rejects
    ]
    if rows:
        columns = dict(zip(COLUMNS, map(list, zip(*rows, strict=True)), strict=True))
        await tx.execute(_PUT_ROWS, {"import_id": import_id, **columns})


async def waits(tx: AsyncConnection, kind: str, subject: str) -> bool:
    """Whether a second person is asked for it, or has said yes and it has not begun."""
    return (await tx.execute(_WAITS, {"kind": kind, "subject": subject})).scalar_one() is True


async def reject_twice(tx: AsyncConnection, import_id: UUID, reason: str) -> None:
    """Of lines with one reference, which came in several uploads, the first stays."""
    await tx.execute(_REJECT_TWICE, {"import_id": import_id, "reason": reason})


async def totals(database: Database, import_id: UUID) -> Totals:
    """What is there, and how it fared."""
    seen = Totals()
    for state, reason, bucket, count, points in await database.fetch(
        _TOTALS, import_id, timeout_s=TIMEOUT_S
    ):
        seen.rows += count
        seen.points += points
        if state == "rejected":
            seen.reject(reason, count)
            continue
        seen.good += count
        seen.good_points += points
        seen.by_bucket[bucket] = seen.by_bucket.get(bucket, 0) + points
        if state == "posted":
            seen.posted += count
            seen.posted_points += points
        elif state == "already":
            seen.already += count
    return seen


async def count_waiting(database: Database, import_id: UUID) -> int:
    count: int = (await database.fetch(_COUNT_WAITING, import_id, timeout_s=TIMEOUT_S))[0][0]
    return count


async def waiting(database: Database, import_id: UUID, after: int, limit: int) -> list[Owned]:
    rows = await database.fetch(_WAITING, import_id, after, limit, timeout_s=TIMEOUT_S)
    return [
        Owned(
            Lot(
                line=row["line"],
                source=row["source"],
                owner=Owner(None),
                points=row["points"],
                bucket=row["bucket"],
                occurred_at=row["occurred_at"],
                available_from=row["available_from"],
                expires_at=row["expires_at"],
            ),
            row["customer_id"],
        )
        for row in rows
    ]


async def rejects(database: Database, import_id: UUID, after: int, limit: int) -> list[Reject]:
    rows = await database.fetch(_REJECTS, import_id, after, limit)
    return [Reject(row["line"], row["reason"]) for row in rows]


async def mark(
    tx: AsyncConnection, import_id: UUID, fates: Sequence[tuple[int, str, str | None]]
) -> None:
    """How lines fared: (line, state, reason)."""
    if fates:
        lines, states, reasons = (list(column) for column in zip(*fates, strict=True))
        values = {"import_id": import_id, "line": lines, "state": states, "reason": reasons}
        await tx.execute(_MARK, values)
