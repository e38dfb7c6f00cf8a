"""Merges' queries."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any
from uuid import UUID

import msgspec
from sqlalchemy import or_, select, text, update
from sqlalchemy.ext.asyncio import AsyncConnection

from billing.common.db import Database
from billing.customers.tables import customer_merges
from billing.merges.model import Merge

_C = customer_merges.c
_COLUMNS = [_C[name] for name in Merge.__struct_fields__]

_POINT_TO = text("""
UPDATE billing.customers SET merged_into = :into, updated_at = :at
WHERE id = :duplicate OR merged_into = :duplicate
""")
_POINT_BACK = text("""
WITH RECURSIVE below (id) AS (
    SELECT customer_id FROM billing.customer_merges WHERE into_id = :duplicate AND undone_at IS NULL
    UNION
    SELECT m.customer_id FROM billing.customer_merges m JOIN below b ON m.into_id = b.id
    WHERE m.undone_at IS NULL
)
UPDATE billing.customers SET updated_at = :at,
    merged_into = CASE WHEN id = :duplicate THEN NULL ELSE CAST(:duplicate AS uuid) END
WHERE id = :duplicate OR id IN (SELECT id FROM below)
""")

_UNSETTLED = """
SELECT m.id, m.customer_id, c.merged_into
FROM billing.customer_merges m
JOIN billing.customers c ON c.id = m.customer_id
JOIN ledger.balances b ON b.customer_id = m.customer_id
LEFT JOIN ledger.balances s ON s.customer_id = c.merged_into
WHERE m.undone_at IS NULL AND (
    b.available > b.debt OR b.deferred > 0
    OR (b.debt > b.available AND s.available > s.debt))
ORDER BY m.id LIMIT $1
"""
"""Merged customers who have points again, or owe what their survivor could pay."""

_MOVED_LOTS = """
SELECT DISTINCT p.lot_id, p.bucket, p.active_from, p.expires_at, p.program, p.program_version
FROM ledger.transactions t
JOIN ledger.postings p ON p.customer_id = t.customer_id AND p.version = t.version
WHERE t.customer_id = $1 AND t.kind = 'transfer_in' AND t.reason = ANY($2)
"""
_UNDONE = """
SELECT id FROM billing.customer_merges WHERE customer_id = $1 AND undone_at IS NOT NULL
"""
_MOVED_POINTS = """
SELECT t.reason, sum(CASE WHEN t.kind = 'transfer_out' THEN p.amount ELSE -p.amount END) AS points
FROM ledger.transactions t
JOIN ledger.postings p ON p.customer_id = t.customer_id AND p.version = t.version
WHERE t.customer_id = ANY($1) AND t.reason = ANY($2) AND t.kind IN ('transfer_out', 'transfer_in')
GROUP BY t.reason
"""


_LISTED = text("""
INSERT INTO billing.campaign_audience (code, customer_id)
SELECT code, CAST(:into AS uuid) FROM billing.campaign_audience WHERE customer_id = :duplicate
ON CONFLICT DO NOTHING
""")


async def insert(tx: AsyncConnection, merge: Merge) -> None:
    await tx.execute(customer_merges.insert().values(msgspec.structs.asdict(merge)))


async def read(tx: AsyncConnection, merge_id: UUID, *, lock: bool = False) -> Merge | None:
    query = select(*_COLUMNS).where(_C.id == merge_id)
    return await _one(tx, query.with_for_update() if lock else query)


async def standing(tx: AsyncConnection, customer_id: UUID) -> Merge | None:
    """The merge by which the customer is another one now."""
    return await _one(
        tx, select(*_COLUMNS).where(_C.customer_id == customer_id, _C.undone_at.is_(None))
    )


async def of_customer(tx: AsyncConnection, customer_id: UUID) -> list[Merge]:
    """All there were, of either side, newest first."""
    mine = or_(_C.customer_id == customer_id, _C.into_id == customer_id)
    query = select(*_COLUMNS).where(mine).order_by(_C.merged_at.desc(), _C.id.desc())
    return [Merge(**row._mapping) for row in await tx.execute(query)]


async def point_to(tx: AsyncConnection, merge: Merge) -> None:
    """Whoever asks for the duplicate, or for who was merged into it before, gets the survivor,
    who stands on its campaigns' lists, too."""
    pair = {"duplicate": merge.customer_id, "into": merge.into_id}
    await tx.execute(_POINT_TO, pair | {"at": merge.merged_at})
    await tx.execute(_LISTED, pair)


async def point_back(tx: AsyncConnection, merge: Merge) -> None:
    """The duplicate is a customer again, and who was merged into it before is that one again."""
    await tx.execute(_POINT_BACK, {"duplicate": merge.customer_id, "at": merge.undone_at})
    await tx.execute(
        update(customer_merges)
        .where(_C.id == merge.id)
        .values(undone_at=merge.undone_at, undone_by=merge.undone_by)
    )


async def unsettled(database: Database, limit: int) -> list[tuple[UUID, UUID, UUID]]:
    """(merge, duplicate, survivor) where points are on the wrong side."""
    return [tuple(row) for row in await database.fetch(_UNSETTLED, limit)]


async def moved_lots(
    database: Database, survivor: UUID, marks: Sequence[str]
) -> dict[UUID, tuple[Any, ...]]:
    """The survivor's lots that merges brought, with their terms."""
    rows = await database.fetch(_MOVED_LOTS, survivor, marks)
    return {row[0]: tuple(row)[1:] for row in rows}


async def undone_marks(database: Database, customer_id: UUID) -> list[str]:
    """The marks of merges by which the customer was another one for a while: their undoing brought
    points back in lots of its own."""
    return [f"merge {row['id']}" for row in await database.fetch(_UNDONE, customer_id)]


async def moved_points(database: Database, merges: Sequence[Merge]) -> dict[str, int]:
    """How many points each merge moved and did not move back, by its mark."""
    ids = list({one.customer_id for one in merges})
    rows = await database.fetch(_MOVED_POINTS, ids, [one.mark for one in merges])
    return {row["reason"]: int(row["points"]) for row in rows}


async def _one(tx: AsyncConnection, query: Any) -> Merge | None:
    row = (await tx.execute(query)).one_or_none()
    return None if row is None else Merge(**row._mapping)
