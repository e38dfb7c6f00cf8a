"""Consents: a row for each time one is given or withdrawn, never changed."""

from __future__ import annotations

from sqlalchemy import (
    CheckConstraint,
    Column,
    DateTime,
    ForeignKey,
    Index,
    LargeBinary,
    Table,
    Text,
    Uuid,
)

from billing.common.tables import metadata
from billing.customers.tables import customers

_TIME = DateTime(timezone=True)

consents = Table(
    "consents",
    metadata,
    Column("id", Uuid, primary_key=True),
    Column("customer_id", Uuid, ForeignKey(customers.c.id), nullable=False),
    Column("kind", Text, nullable=False),
    Column("action", Text, nullable=False),
    Column("at", _TIME, nullable=False),
    Column("method", Text, nullable=False),
    Column("text_version", Text),
    Column("text_sha256", LargeBinary),
    # Under the person's own key: who is erased leaves only the fact.
    Column("text_encrypted", LargeBinary),
    Column("language", Text),
    Column("requested_at", _TIME),
    Column("channel", Text),
    Column("store", Text),
    Column("seller", Text),
    Column("author", Text),
    Column("verification_id", Uuid),
    Column("message_id", Uuid),
    Column("provider_message_id", Text),
    CheckConstraint("kind IN ('processing', 'messages')", name="kind"),
    CheckConstraint("action IN ('given', 'withdrawn')", name="action"),
    CheckConstraint(
        "method IN ('code', 'reply', 'provider', 'api', 'inbound', 'erasure')", name="method"
    ),
    Index(None, "customer_id", "kind", "at"),
)
