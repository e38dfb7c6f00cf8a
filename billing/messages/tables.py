"""Messages waiting to be sent, and what became of them. Phone and text are sealed."""

from __future__ import annotations

from sqlalchemy import (
    BigInteger,
    CheckConstraint,
    Column,
    DateTime,
    Index,
    LargeBinary,
    Table,
    Text,
    Uuid,
)

from billing.common.tables import metadata

_TIME = DateTime(timezone=True)

messages = Table(
    "messages",
    metadata,
    Column("id", Uuid, primary_key=True),
    Column("customer_id", Uuid),
    Column("purpose", Text, nullable=False),
    Column("status", Text, nullable=False),
    Column("language", Text, nullable=False),
    Column("phone_encrypted", LargeBinary),
    Column("text_encrypted", LargeBinary),
    Column("not_before", _TIME),
    Column("expires_at", _TIME, nullable=False),
    Column("verification_id", Uuid),
    Column("provider", Text),
    Column("provider_message_id", Text),
    Column("price", BigInteger),
    Column("created_at", _TIME, nullable=False),
    CheckConstraint("purpose IN ('verification', 'notice', 'reply', 'test')", name="purpose"),
    Index(None, "customer_id"),
)
