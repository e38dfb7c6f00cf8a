"""Who closed and reopened which month, and what was sealed. Append-only."""

from __future__ import annotations

from sqlalchemy import CheckConstraint, Column, DateTime, Index, Table, Text, UniqueConstraint, Uuid
from sqlalchemy.dialects.postgresql import JSONB

from billing.common.tables import metadata

period_events = Table(
    "period_events",
    metadata,
    Column("id", Uuid, primary_key=True),
    Column("period", Text, nullable=False),
    Column("kind", Text, nullable=False),
    Column("at", DateTime(timezone=True), nullable=False),
    Column("key_id", Uuid, nullable=False),
    Column("author", Text, nullable=False),
    Column("reason", Text),
    Column("late", Text),
    # Of what ends a request: which one. At most one event ends it.
    Column("request_id", Uuid),
    Column("sealed", JSONB),
    Column("digest", Text),
    CheckConstraint(
        "kind IN ('closed', 'reopen_requested', 'reopen_withdrawn', 'reopened')", name="kind"
    ),
    UniqueConstraint("request_id"),
    Index("period_events_period_idx", "period", "at"),
)
