"""Scenarios waiting to be posted: written with what caused them, so that none is lost."""

from __future__ import annotations

from sqlalchemy import Column, DateTime, Index, Integer, Table, Text, Uuid, text
from sqlalchemy.dialects.postgresql import JSONB

from billing.common.tables import metadata

_TIME = DateTime(timezone=True)

scenario_queue = Table(
    "scenario_queue",
    metadata,
    Column("id", Uuid, primary_key=True),
    Column("customer_id", Uuid, nullable=False),
    Column("event", Text, nullable=False),
    Column("occurred_at", _TIME, nullable=False),
    Column("details", JSONB, nullable=False),
    Column("created_at", _TIME, nullable=False, server_default=text("now()")),
    Column("done_at", _TIME),
    Column("attempts", Integer, nullable=False, server_default=text("0")),
    Column("error", Text),
    Index("scenario_queue_created_at_idx", "created_at", postgresql_where=text("done_at IS NULL")),
)
