"""How revenue is deferred, with its history, and what was posted. Both append-only."""

from __future__ import annotations

from sqlalchemy import Column, DateTime, Integer, Table, Text, Uuid
from sqlalchemy.dialects.postgresql import JSONB

from billing.common.tables import metadata

revenue_policies = Table(
    "revenue_policies",
    metadata,
    Column("id", Uuid, primary_key=True),
    # None: every program that has no policy of its own.
    Column("program", Text),
    # A month. Of two for the same one, the later made counts.
    Column("effective_from", Text, nullable=False),
    Column("policy", JSONB, nullable=False),
    Column("reason", Text, nullable=False),
    Column("key_id", Uuid, nullable=False),
    Column("author", Text, nullable=False),
    Column("created_at", DateTime(timezone=True), nullable=False),
)

revenue_journals = Table(
    "revenue_journals",
    metadata,
    Column("period", Text, primary_key=True),
    # A month that was reopened and closed again has another.
    Column("revision", Integer, primary_key=True, autoincrement=False),
    Column("computed_at", DateTime(timezone=True), nullable=False),
    Column("author", Text, nullable=False),
    Column("journal", JSONB, nullable=False),
)
