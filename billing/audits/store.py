"""The audits' queries."""

from __future__ import annotations

from typing import Any, Final
from uuid import UUID

import asyncpg
import msgspec
from sqlalchemy import text
from sqlalchemy.ext.asyncio import AsyncConnection

from billing.audits.model import MAX_KEPT, AuditReport, KeptAudit
from billing.common.db import Database
from ledger.rollups import CELL
from ledger.seals import era

_FIELDS = "id, scope, started_at, finished_at, clean, report::text AS report"
_LAST = f"SELECT {_FIELDS} FROM billing.audits ORDER BY started_at DESC LIMIT 1"
_LAST_CLEAN = f"""
SELECT {_FIELDS} FROM billing.audits WHERE clean ORDER BY started_at DESC LIMIT 1
"""
_LAST_WHOLE = f"""
SELECT {_FIELDS} FROM billing.audits WHERE scope = 'whole' ORDER BY started_at DESC LIMIT 1
"""
_PUT = text("""
INSERT INTO billing.audits (id, scope, started_at, finished_at, clean, report)
VALUES (:id, :scope, :started_at, :finished_at, :clean, CAST(:report AS jsonb))
""")
_UNSEALED = """
SELECT count(*), min(since) FROM (
    SELECT t.recorded_at AS since FROM ledger.transactions t
    WHERE t.xid > coalesce((SELECT s.until_xid FROM ledger.seals s WHERE s.chain = 'journal'
                            ORDER BY s.number DESC LIMIT 1), -1)
    ORDER BY t.xid LIMIT 1000) AS waiting
"""


class _Stored(msgspec.Struct):
    """How a report is kept: with no more findings than anybody reads."""

    count: int
    report: AuditReport


async def put(tx: AsyncConnection, audit_id: UUID, report: AuditReport) -> None:
    kept = msgspec.structs.replace(report, findings=report.findings[:MAX_KEPT])
    stored = (
        msgspec.json.encode(_Stored(len(report.findings), kept)).decode().replace("\\u0000", "")
    )
    values: dict[str, Any] = {
        "id": audit_id,
        "scope": report.scope,
        "started_at": report.started_at,
        "finished_at": report.finished_at,
        "clean": report.clean,
        "report": stored,
    }
    await tx.execute(_PUT, values)


async def last(database: Database) -> KeptAudit | None:
    return _one(await database.fetch(_LAST))


async def last_clean(database: Database) -> KeptAudit | None:
    return _one(await database.fetch(_LAST_CLEAN))


async def last_whole(database: Database) -> KeptAudit | None:
    return _one(await database.fetch(_LAST_WHOLE))


async def unsealed(database: Database) -> tuple[int, Any]:
    """Transactions that no block has yet, counted up to 1,000, and when the first was written."""
    (row,) = await database.fetch(_UNSEALED)
    return row[0], row[1]


def _one(rows: list[asyncpg.Record]) -> KeptAudit | None:
    if not rows:
        return None
    values = dict(rows[0])
    stored = msgspec.json.decode(values.pop("report"), type=_Stored)
    return KeptAudit(**values, findings=stored.count, report=stored.report)


_OF_POSTINGS: Final = ", ".join(f"p.{name}" for name in CELL.split(", "))
_PLACES: Final = ", ".join(str(at) for at in range(1, 12))

DIFFERENT: Final = f"""
WITH place AS MATERIALIZED (
    SELECT xid, zone FROM ledger.rollup_state
    WHERE $1::timestamptz IS NOT NULL AND zone IS NOT NULL AND xid <= ({era.NEXT})
)
SELECT NULL::uuid, concat_ws(' ', 'happened', occurred_day, 'recorded', recorded_day, kind, debit,
                             credit, bucket, program, channel, store, product_group)
FROM (
    SELECT occurred_day, recorded_day, {CELL}, amount, count FROM ledger.rollups, place
    UNION ALL
    SELECT (p.occurred_at AT TIME ZONE zone)::date, (p.recorded_at AT TIME ZONE zone)::date,
           {_OF_POSTINGS}, -sum(p.amount), -count(*)
    FROM ledger.postings p, place GROUP BY {_PLACES}
    UNION ALL
    SELECT (p.occurred_at AT TIME ZONE zone)::date, (p.recorded_at AT TIME ZONE zone)::date,
           {_OF_POSTINGS}, sum(p.amount), count(*)
    FROM place JOIN ledger.transactions t ON t.xid >= place.xid
    JOIN ledger.postings p ON p.customer_id = t.customer_id AND p.version = t.version
    GROUP BY {_PLACES}
) AS sides
GROUP BY occurred_day, recorded_day, {CELL} HAVING sum(amount) <> 0 OR sum(count) <> 0
"""
"""Cells that are not the sum of their postings; of what is not summed up yet there is no cell."""
