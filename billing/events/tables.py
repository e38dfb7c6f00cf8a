"""Events that the journal does not tell by itself, and how far each consumer has come."""

from __future__ import annotations

from sqlalchemy import BigInteger, Column, DateTime, Identity, Index, Table, Text, Uuid, text
from sqlalchemy.dialects.postgresql import JSONB

from billing.common.tables import metadata

_TIME = DateTime(timezone=True)

events = Table(
    "events",
    metadata,
    Column("id", Uuid, primary_key=True),
    # The order of events of one transaction.
    Column("seq", BigInteger, Identity(always=True), nullable=False),
    Column("type", Text, nullable=False),
    Column("customer_id", Uuid),
    Column("occurred_at", _TIME, nullable=False),
    Column("data", JSONB, nullable=False),
    Column(
        "xid",
        BigInteger,
        nullable=False,
        server_default=text("((pg_current_xact_id())::text)::bigint"),
    ),
    Index("events_xid_idx", "xid"),
)

event_cursors = Table(
    "event_cursors",
    metadata,
    Column("consumer", Text, primary_key=True),
    # All transactions up to this one are dealt with.
    Column("xid", BigInteger, nullable=False),
    Column("moved_at", _TIME, nullable=False),
)
