"""Long work that somebody asked for and fetches later: its progress and its result."""

from __future__ import annotations

from sqlalchemy import BigInteger, CheckConstraint, Column, DateTime, Index, Table, Text, Uuid, text
from sqlalchemy.dialects.postgresql import JSONB

from billing.common.tables import metadata

_TIME = DateTime(timezone=True)

jobs = Table(
    "jobs",
    metadata,
    Column("id", Uuid, primary_key=True),
    Column("kind", Text, nullable=False),
    Column("parameters", JSONB, nullable=False),
    Column("state", Text, nullable=False, server_default=text("'queued'")),
    Column("progress", BigInteger, nullable=False, server_default=text("0")),
    Column("total", BigInteger),
    Column("result", JSONB),
    Column("error", Text),
    Column("author", Text, nullable=False),
    Column("created_at", _TIME, nullable=False, server_default=text("now()")),
    Column("started_at", _TIME),
    # Moved while somebody works on it: one that stands still is taken over.
    Column("heartbeat_at", _TIME),
    Column("finished_at", _TIME),
    CheckConstraint("state IN ('queued', 'running', 'done', 'failed', 'cancelled')", name="state"),
    Index(
        "jobs_created_at_idx",
        "created_at",
        postgresql_where=text("state IN ('queued', 'running')"),
    ),
)
