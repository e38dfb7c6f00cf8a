"""Policies, frozen journals, and what the ledger and the receipts say of cohorts."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime
from typing import Any
from uuid import UUID

import msgspec
from sqlalchemy import text
from sqlalchemy.exc import IntegrityError
from sqlalchemy.ext.asyncio import AsyncConnection

from billing.common.db import Database
from billing.revenue.model import Cohort, Entry, Line, Points, Policy
from ledger.sums import TIMEOUT_S, Snapshot


class PolicyRow(msgspec.Struct, frozen=True):
    """A row of billing.revenue_policies."""

    id: UUID
    program: str | None
    effective_from: str
    policy: Policy
    reason: str
    key_id: UUID
    author: str
    created_at: datetime


class Journal(msgspec.Struct, frozen=True, kw_only=True):
    """The journal of a month. `digest` is that of the closed month it was made of."""

    period: str
    revision: int
    document: str
    replaces: str | None
    digest: str | None
    lines: list[Line]
    entries: list[Entry]
    cohorts: list[Cohort]


_POLICIES = """
SELECT id, program, effective_from, policy::text AS policy, reason, key_id, author, created_at
FROM billing.revenue_policies ORDER BY effective_from, created_at, id
"""
_PUT_POLICY = text("""
INSERT INTO billing.revenue_policies
    (id, program, effective_from, policy, reason, key_id, author, created_at)
VALUES (:id, :program, :effective_from, CAST(:policy AS jsonb), :reason, :key_id, :author,
        :created_at)
""")
_JOURNAL = """
SELECT journal::text AS journal FROM billing.revenue_journals WHERE period = $1
ORDER BY revision DESC LIMIT 1
"""
_ALLOCATED = """
SELECT DISTINCT ON (period) period, journal::text AS journal FROM billing.revenue_journals
WHERE period < $1 ORDER BY period, revision DESC
"""
_PUT_JOURNAL = text("""
INSERT INTO billing.revenue_journals (period, revision, computed_at, author, journal)
VALUES (:period, :revision, :computed_at, :author, CAST(:journal AS jsonb))
""")

# A lot that came by transfer belongs to the month of the one it was taken from: the two halves
# of a transfer have one operation, and the same parts in the same order.
_POINTS = """
WITH RECURSIVE moved AS (
    SELECT i.customer_id, pi.lot_id, o.customer_id AS from_customer, po.lot_id AS from_lot
    FROM ledger.transactions i
    JOIN ledger.transactions o ON o.operation_id = i.operation_id AND o.kind = 'transfer_out'
    JOIN ledger.postings pi ON pi.customer_id = i.customer_id AND pi.version = i.version
    JOIN ledger.postings po ON po.customer_id = o.customer_id AND po.version = o.version
        AND po.seq = pi.seq
    WHERE i.kind = 'transfer_in'
), came AS (
    SELECT customer_id, lot_id, from_customer, from_lot FROM moved
    UNION
    SELECT c.customer_id, c.lot_id, m.from_customer, m.from_lot
    FROM came c JOIN moved m ON m.customer_id = c.from_customer AND m.lot_id = c.from_lot
), origin AS (
    SELECT c.customer_id, c.lot_id, l.occurred_at
    FROM came c JOIN ledger.lots l ON l.customer_id = c.from_customer AND l.id = c.from_lot
    WHERE NOT EXISTS (SELECT FROM moved m
                      WHERE m.customer_id = c.from_customer AND m.lot_id = c.from_lot)
)
SELECT p.program, to_char(coalesce(o.occurred_at, l.occurred_at) AT TIME ZONE $2, 'YYYY-MM')
           AS month,
       sum(CASE WHEN p.kind = 'accrue' THEN p.amount ELSE 0 END) AS issued,
       sum(CASE WHEN p.kind = 'revoke' THEN p.amount ELSE 0 END) AS revoked,
       sum(CASE WHEN p.credit = 'redeemed' THEN p.amount WHEN p.debit = 'redeemed' THEN -p.amount
                ELSE 0 END) AS redeemed,
       sum(CASE WHEN p.kind = 'expire' THEN p.amount
                WHEN p.kind = 'adjust' AND p.credit = 'adjustment' THEN p.amount
                WHEN p.kind = 'adjust' THEN -p.amount ELSE 0 END) AS gone
FROM ledger.postings p
JOIN ledger.lots l ON l.customer_id = p.customer_id AND l.id = p.lot_id
LEFT JOIN origin o ON o.customer_id = p.customer_id AND o.lot_id = p.lot_id
WHERE p.occurred_at < $1 AND p.program IS NOT NULL
GROUP BY 1, 2 ORDER BY 1, 2
"""
_SALES = """
SELECT to_char(t.occurred_at AT TIME ZONE $2, 'YYYY-MM') AS month,
       sum(r.total - r.redeemed) AS sales
FROM billing.receipts r
JOIN ledger.transactions t ON t.id = r.id AND t.customer_id = r.customer_id
WHERE t.occurred_at < $1 AND r.accrued > 0 AND EXISTS (
    SELECT FROM ledger.postings p
    WHERE p.customer_id = t.customer_id AND p.version = t.version AND p.kind = 'accrue'
      AND p.program IS NOT NULL AND p.program <> ALL($3::text[]))
GROUP BY 1
"""


async def policies(database: Database) -> list[PolicyRow]:
    """All of them, in the order in which the later one counts."""
    return [
        PolicyRow(**{**dict(row), "policy": msgspec.json.decode(row["policy"], type=Policy)})
        for row in await database.fetch(_POLICIES)
    ]


async def put_policy(tx: AsyncConnection, row: PolicyRow) -> None:
    values = {
        **msgspec.structs.asdict(row),
        "policy": msgspec.json.encode(row.policy).decode(),
    }
    await tx.execute(_PUT_POLICY, values)


async def journal(database: Database, period: str) -> Journal | None:
    """The last that was frozen for a month."""
    rows = await database.fetch(_JOURNAL, period)
    return _journal(rows[0]) if rows else None


async def allocations(database: Database, before: str) -> dict[tuple[str, str], int]:
    """What was allocated to the cohorts of months that are frozen: (program, month) → money."""
    return {
        (cohort.program, cohort.month): cohort.standing.allocated
        for row in await database.fetch(_ALLOCATED, before, timeout_s=TIMEOUT_S)
        for cohort in _journal(row).cohorts
        if cohort.month == row["period"]
    }


async def put_journal(database: Database, made: Journal, author: str, now: datetime) -> bool:
    """False when somebody else froze this revision meanwhile."""
    values = {
        "period": made.period,
        "revision": made.revision,
        "computed_at": now,
        "author": author,
        "journal": msgspec.json.encode(made).decode(),
    }
    try:
        async with database.transaction() as tx:
            await tx.execute(_PUT_JOURNAL, values)
    except IntegrityError:
        return False
    return True


async def points(connection: Snapshot, until: datetime, zone: str) -> dict[tuple[str, str], Points]:
    """(program, month) → what became of its points before `until`."""
    rows = await connection.fetch(_POINTS, until, zone, timeout=TIMEOUT_S)
    return {(row[0], row[1]): Points(*(int(value) for value in row[2:])) for row in rows}


async def sales(
    connection: Snapshot, until: datetime, zone: str, without: Sequence[str]
) -> dict[str, int]:
    """month → money of the receipts that earned points of programs but `without`."""
    rows: list[Any] = await connection.fetch(_SALES, until, zone, list(without), timeout=TIMEOUT_S)
    return {row[0]: int(row[1]) for row in rows}


def _journal(row: Any) -> Journal:
    return msgspec.json.decode(row["journal"], type=Journal)
