"""Redemptions: for which receipt points were held or spent."""

from __future__ import annotations

from sqlalchemy import BigInteger, CheckConstraint, Column, DateTime, Table, Text, Uuid
from sqlalchemy.dialects.postgresql import JSONB

from billing.common.tables import metadata

redemptions = Table(
    "redemptions",
    metadata,
    # The id is that of the ledger's transaction, and of its hold if it placed one.
    Column("id", Uuid, primary_key=True),
    Column("customer_id", Uuid, primary_key=True),
    Column("channel", Text, nullable=False),
    Column("store", Text),
    Column("number", Text, nullable=False),
    Column("mode", Text, nullable=False),
    Column("points", BigInteger, nullable=False),
    Column("hold_expires_at", DateTime(timezone=True)),
    Column("occurred_at", DateTime(timezone=True), nullable=False),
    Column("recorded_at", DateTime(timezone=True), nullable=False),
    Column("lines", JSONB, nullable=False),
    CheckConstraint("mode IN ('hold', 'capture')", name="mode"),
    CheckConstraint("(mode = 'hold') = (hold_expires_at IS NOT NULL)", name="hold"),
)
