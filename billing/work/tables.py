"""What workers did and who works: shown to operators, decided by nobody."""

from __future__ import annotations

from sqlalchemy import (
    BigInteger,
    CheckConstraint,
    Column,
    DateTime,
    Index,
    Integer,
    Table,
    Text,
    Uuid,
    text,
)

from billing.common.tables import metadata

_TIME = DateTime(timezone=True)

work_runs = Table(
    "work_runs",
    metadata,
    Column("id", Uuid, primary_key=True),
    Column("name", Text, nullable=False),
    Column("started_at", _TIME, nullable=False),
    # Moved while it runs: one that stands still was killed.
    Column("seen_at", _TIME, nullable=False),
    Column("finished_at", _TIME),
    Column("outcome", Text),
    Column("handled", BigInteger),
    Column("error", Text),
    # Runs one after another that found nothing to do are one row, that of the last.
    Column("repeats", Integer, nullable=False, server_default=text("1")),
    CheckConstraint("outcome IN ('done', 'failed')", name="outcome"),
    Index("work_runs_name_started_at_idx", "name", "started_at"),
)

work_processes = Table(
    "work_processes",
    metadata,
    Column("id", Uuid, primary_key=True),
    Column("role", Text, nullable=False),
    Column("host", Text, nullable=False),
    Column("pid", Integer, nullable=False),
    Column("started_at", _TIME, nullable=False),
    Column("seen_at", _TIME, nullable=False),
    Column("leads_since", _TIME),
    CheckConstraint("role IN ('scheduler', 'worker')", name="role"),
)
