"""The redemptions' queries."""

from __future__ import annotations

from typing import Any
from uuid import UUID

import asyncpg

from billing.common.db import Database
from ledger.commands import Row, Statement

_INSERT = Statement(
    "billing.redemptions",
    """
INSERT INTO billing.redemptions
    (id, customer_id, channel, store, number, mode, points, hold_expires_at, occurred_at,
     recorded_at, lines)
SELECT * FROM unnest(
    $1::uuid[], $2::uuid[], $3::text[], $4::text[], $5::text[], $6::text[], $7::bigint[],
    $8::timestamptz[], $9::timestamptz[], $10::timestamptz[], $11::jsonb[])
""",
    11,
)

_READ = """
SELECT id, customer_id, channel, store, number, mode, points, hold_expires_at, occurred_at,
       recorded_at, lines::text AS lines
FROM billing.redemptions WHERE id = $1
"""


def redemption_row(*values: Any) -> Row:
    """A row of billing.redemptions, written in the ledger's own transaction."""
    return (_INSERT, values)


async def read_redemption(database: Database, redemption_id: UUID) -> asyncpg.Record | None:
    rows = await database.fetch(_READ, redemption_id)
    return rows[0] if rows else None


def redemption_source(channel: str, store: str | None, number: str) -> str:
    """The natural key of points spent at once on a receipt: once per store and number."""
    if store is not None:
        return f"redemption/s/{store}/{number}"
    return f"redemption/c/{channel}/{number}"
