"""What was asked for and waits for a second person, and who decided."""

from __future__ import annotations

from sqlalchemy import CheckConstraint, Column, DateTime, Index, Table, Text, Uuid, text
from sqlalchemy.dialects.postgresql import JSONB

from billing.common.tables import metadata

_TIME = DateTime(timezone=True)

approvals = Table(
    "approvals",
    metadata,
    Column("id", Uuid, primary_key=True),
    Column("kind", Text, nullable=False),
    Column("subject", Text, nullable=False),
    Column("summary", Text, nullable=False),
    Column("content", JSONB, nullable=False),
    Column("state", Text, nullable=False, server_default=text("'pending'")),
    Column("asked_by", Text, nullable=False),
    Column("asked_key", Uuid),
    Column("asked_at", _TIME, nullable=False),
    Column("decided_by", Text),
    Column("decided_key", Uuid),
    Column("decided_at", _TIME),
    Column("reason", Text),
    Column("result", JSONB),
    Column("error", Text),
    CheckConstraint(
        "state IN ('pending', 'approved', 'done', 'failed', 'rejected', 'withdrawn')", name="state"
    ),
    Index(
        "approvals_pending_key",
        "kind",
        "subject",
        unique=True,
        postgresql_where=text("state = 'pending'"),
    ),
    Index("approvals_state_asked_at_idx", "state", "asked_at"),
)
