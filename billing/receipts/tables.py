"""Posted receipts: the purchase history (B5), one row a sale."""

from __future__ import annotations

from sqlalchemy import BigInteger, Column, DateTime, Table, Text, Uuid
from sqlalchemy.dialects.postgresql import JSONB

from billing.common.tables import metadata

_TIME = DateTime(timezone=True)

receipts = Table(
    "receipts",
    metadata,
    # The id is that of the ledger's transaction. Both columns, so that it can be sharded.
    Column("id", Uuid, primary_key=True),
    Column("customer_id", Uuid, primary_key=True),
    Column("channel", Text, nullable=False),
    Column("store", Text),
    Column("number", Text, nullable=False),
    Column("occurred_at", _TIME, nullable=False),
    Column("recorded_at", _TIME, nullable=False),
    Column("total", BigInteger, nullable=False),
    Column("redeemed", BigInteger, nullable=False),
    Column("accrued", BigInteger, nullable=False),
    Column("lines", JSONB, nullable=False),
    Column("payments", JSONB, nullable=False),
    Column("programs", JSONB, nullable=False),
    # The redemption that paid, when that is a transaction of its own.
    Column("paid_by", Uuid),
    # What was shown at the till, such as coupons: codes with spaces between.
    Column("codes", Text),
)
