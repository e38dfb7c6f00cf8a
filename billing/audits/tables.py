"""Audits that were kept."""

from __future__ import annotations

from sqlalchemy import Boolean, CheckConstraint, Column, DateTime, Index, Table, Text, Uuid
from sqlalchemy.dialects.postgresql import JSONB

from billing.common.tables import metadata

_TIME = DateTime(timezone=True)

audits = Table(
    "audits",
    metadata,
    Column("id", Uuid, primary_key=True),
    Column("scope", Text, nullable=False),
    Column("started_at", _TIME, nullable=False),
    Column("finished_at", _TIME, nullable=False),
    Column("clean", Boolean, nullable=False),
    Column("report", JSONB, nullable=False),
    CheckConstraint("scope IN ('whole', 'since_last')", name="scope"),
    Index("audits_started_at_idx", "started_at"),
)
