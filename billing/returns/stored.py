"""Posted returns, read back."""

from __future__ import annotations

from typing import Any
from uuid import UUID
from zoneinfo import ZoneInfo

import asyncpg
import msgspec

from billing.common.db import Database
from billing.common.money import format_amount
from billing.receipts.schemas import PostingOut
from billing.returns.schemas import StoredReturn
from billing.returns.store import kept_lines, read_returns
from billing.returns.totals import Document, line_documents, totals_of
from ledger.model import Transaction


def stored_return(row: asyncpg.Record, transaction: Transaction, zone: ZoneInfo) -> StoredReturn:
    """A return from its row of `store.read_return` and its transaction; times of `zone`."""
    lines = kept_lines(row["lines"])
    totals = totals_of(transaction.postings, lines, by_hand=row["receipt_id"] is None)
    document: Document = {
        **summary(row, zone),
        "receipt_id": row["receipt_id"],
        "receipt_number": row["receipt_number"],
        "receipt_channel": row["receipt_channel"],
        "receipt_store": row["receipt_store"],
        "customer_id": row["customer_id"],
        "reason": transaction.reason,
        "postings": _postings(transaction),
        **totals.document(),
    }
    return msgspec.convert(document, StoredReturn)


async def returns_of(
    database: Database, customer_id: UUID, receipt_id: UUID, zone: ZoneInfo
) -> list[dict[str, Any]]:
    """The returns of a receipt, oldest first, as they stand beside it."""
    rows = await read_returns(database, customer_id, receipt_id)
    return [{"transaction_id": row["id"], "kind": "return", **summary(row, zone)} for row in rows]


def summary(row: asyncpg.Record, zone: ZoneInfo) -> dict[str, Any]:
    """What every reader of a return wants to know."""
    return {
        "id": row["id"],
        "channel": row["channel"],
        "store": row["store"],
        "number": row["number"],
        "occurred_at": row["occurred_at"].astimezone(zone),
        "recorded_at": row["recorded_at"].astimezone(zone),
        "revoked": format_amount(row["revoked"]),
        "restored": format_amount(row["restored"]),
        **line_documents(kept_lines(row["lines"])),
    }


def _postings(transaction: Transaction) -> list[PostingOut]:
    return [
        PostingOut(
            transaction.id,
            posting.kind,
            posting.debit,
            posting.credit,
            format_amount(posting.amount),
            posting.lot_id,
            posting.bucket,
            posting.program,
            posting.program_version,
            posting.product_group,
        )
        for posting in transaction.postings
    ]
