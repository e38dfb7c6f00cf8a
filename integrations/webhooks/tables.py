"""Who is sent what, and what became of it."""

from __future__ import annotations

from sqlalchemy import (
    ARRAY,
    BigInteger,
    CheckConstraint,
    Column,
    DateTime,
    ForeignKey,
    Identity,
    Index,
    Integer,
    LargeBinary,
    Table,
    Text,
    UniqueConstraint,
    Uuid,
    text,
)

from billing.common.tables import metadata

_TIME = DateTime(timezone=True)
_PENDING = text("state = 'pending'")

webhook_subscriptions = Table(
    "webhook_subscriptions",
    metadata,
    Column("id", Uuid, primary_key=True),
    Column("url", Text, nullable=False),
    Column("events", ARRAY(Text), nullable=False),
    Column("description", Text, nullable=False),
    Column("state", Text, nullable=False, server_default=text("'active'")),
    Column("disabled_because", Text),
    Column("secret", LargeBinary, nullable=False),
    Column("previous_secret", LargeBinary),
    Column("previous_until", _TIME),
    # In a row, since when, and when the next attempt may be.
    Column("failures", Integer, nullable=False, server_default=text("0")),
    Column("failing_since", _TIME),
    Column("not_before", _TIME),
    # Events of transactions after this one are for it.
    Column(
        "since",
        BigInteger,
        nullable=False,
        server_default=text("((pg_current_xact_id())::text)::bigint"),
    ),
    Column("created_at", _TIME, nullable=False),
    Column("updated_at", _TIME, nullable=False),
    CheckConstraint("state IN ('active', 'paused', 'disabled', 'deleted')", name="state"),
)

webhook_deliveries = Table(
    "webhook_deliveries",
    metadata,
    # The order in which events came.
    Column("position", BigInteger, Identity(always=True), primary_key=True),
    Column("id", Uuid, nullable=False, unique=True),
    Column("subscription_id", Uuid, ForeignKey(webhook_subscriptions.c.id), nullable=False),
    Column("event_id", Uuid, nullable=False),
    Column("type", Text, nullable=False),
    Column("customer_id", Uuid, nullable=False),
    Column("body", Text, nullable=False),
    Column("state", Text, nullable=False, server_default=text("'pending'")),
    Column("attempts", Integer, nullable=False, server_default=text("0")),
    Column("created_at", _TIME, nullable=False),
    Column("finished_at", _TIME),
    CheckConstraint("state IN ('pending', 'delivered', 'dead')", name="state"),
    UniqueConstraint("subscription_id", "event_id"),
    Index(
        "webhook_deliveries_turn_idx",
        "subscription_id",
        "customer_id",
        "position",
        postgresql_where=_PENDING,
    ),
    Index("webhook_deliveries_page_idx", "subscription_id", "position"),
    Index("webhook_deliveries_pending_idx", "position", postgresql_where=_PENDING),
    Index("webhook_deliveries_dead_idx", "position", postgresql_where=text("state = 'dead'")),
    Index("webhook_deliveries_finished_at_idx", "finished_at"),
)

# The customers of a subscription with something to send: whose turn is when, and who has it.
webhook_queues = Table(
    "webhook_queues",
    metadata,
    Column("subscription_id", Uuid, ForeignKey(webhook_subscriptions.c.id), primary_key=True),
    Column("customer_id", Uuid, primary_key=True),
    Column("next_at", _TIME, nullable=False),
    Column("lease", Uuid),
    Column("leased_until", _TIME),
    Index("webhook_queues_next_at_idx", "subscription_id", "next_at"),
    Index(
        "webhook_queues_leased_until_idx",
        "subscription_id",
        "leased_until",
        postgresql_where=text("lease IS NOT NULL"),
    ),
)

delivery_attempts = Table(
    "delivery_attempts",
    metadata,
    Column("id", Uuid, primary_key=True),
    Column(
        "delivery_id",
        Uuid,
        ForeignKey(webhook_deliveries.c.id, ondelete="CASCADE"),
        nullable=False,
        index=True,
    ),
    Column("at", _TIME, nullable=False),
    Column("duration_ms", Integer, nullable=False),
    Column("status", Integer),
    Column("error", Text),
    Column("answer", Text),
)
