"""The receipts' queries."""

from __future__ import annotations

from typing import Any
from uuid import UUID

import asyncpg

from billing.common.db import Database
from ledger.commands import Row, Statement

_INSERT = Statement(
    "billing.receipts",
    """
INSERT INTO billing.receipts
    (id, customer_id, channel, store, number, occurred_at, recorded_at, total, redeemed, accrued,
     lines, payments, programs, paid_by, codes)
SELECT * FROM unnest(
    $1::uuid[], $2::uuid[], $3::text[], $4::text[], $5::text[], $6::timestamptz[],
    $7::timestamptz[], $8::bigint[], $9::bigint[], $10::bigint[], $11::jsonb[], $12::jsonb[],
    $13::jsonb[], $14::uuid[], $15::text[])
""",
    15,
    "billing.receipts",
    (
        *("id uuid", "customer_id uuid", "channel text", "store text", "number text"),
        *("occurred_at timestamptz", "recorded_at timestamptz", "total bigint"),
        *("redeemed bigint", "accrued bigint", "lines jsonb", "payments jsonb"),
        *("programs jsonb", "paid_by uuid", "codes text"),
    ),
)

_READ = """
SELECT id, customer_id, channel, store, number, occurred_at, recorded_at, total, redeemed,
       accrued, lines::text AS lines, payments::text AS payments, programs::text AS programs,
       paid_by
FROM billing.receipts WHERE id = $1
"""


def receipt_row(*values: Any) -> Row:
    """A row of billing.receipts, written in the ledger's own transaction."""
    return (_INSERT, values)


async def read_receipt(database: Database, receipt_id: UUID) -> asyncpg.Record | None:
    rows = await database.fetch(_READ, receipt_id)
    return rows[0] if rows else None


def sale_source(channel: str, store: str | None, number: str) -> str:
    """The natural key of a sale: one per store (or channel without stores) and number."""
    return f"sale/s/{store}/{number}" if store is not None else f"sale/c/{channel}/{number}"
