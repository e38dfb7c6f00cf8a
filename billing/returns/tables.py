"""Posted returns. What came back of a receipt is the sum over its returns."""

from __future__ import annotations

from sqlalchemy import BigInteger, Column, DateTime, Index, Table, Text, Uuid
from sqlalchemy.dialects.postgresql import JSONB

from billing.common.tables import metadata

_TIME = DateTime(timezone=True)

returns = Table(
    "returns",
    metadata,
    # The id is that of the ledger's transaction.
    Column("id", Uuid, primary_key=True),
    Column("customer_id", Uuid, primary_key=True),
    # None: a return without its original.
    Column("receipt_id", Uuid),
    Column("channel", Text, nullable=False),
    Column("store", Text),
    Column("number", Text, nullable=False),
    Column("occurred_at", _TIME, nullable=False),
    Column("recorded_at", _TIME, nullable=False),
    Column("revoked", BigInteger, nullable=False),
    Column("restored", BigInteger, nullable=False),
    Column("lines", JSONB, nullable=False),
    Index("returns_customer_id_receipt_id_idx", "customer_id", "receipt_id"),
)
