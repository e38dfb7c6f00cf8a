"""What operators asked for, and what came of it."""

from __future__ import annotations

from sqlalchemy import Column, DateTime, Index, SmallInteger, Table, Text, Uuid
from sqlalchemy.dialects.postgresql import JSONB

from billing.common.tables import metadata

_TIME = DateTime(timezone=True)

operator_actions = Table(
    "operator_actions",
    metadata,
    Column("id", Uuid, primary_key=True),
    Column("at", _TIME, nullable=False),
    Column("key_id", Uuid, nullable=False),
    Column("key_name", Text, nullable=False),
    Column("role", Text, nullable=False),
    Column("operation", Text, nullable=False),
    Column("subject", Text, nullable=False),
    Column("request_id", Text, nullable=False),
    Column("idempotency_key", Text),
    Column("body", JSONB),
    Column("before", JSONB),
    Index("operator_actions_key_id_id_idx", "key_id", "id"),
    Index("operator_actions_operation_id_idx", "operation", "id"),
    Index("operator_actions_subject_id_idx", "subject", "id"),
)

operator_outcomes = Table(
    "operator_outcomes",
    metadata,
    Column("action_id", Uuid, primary_key=True),
    Column("at", _TIME, nullable=False),
    Column("status", SmallInteger, nullable=False),
    Column("after", JSONB),
)
