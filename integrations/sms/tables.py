"""Providers of SMS, and their webhooks as they came."""

from __future__ import annotations

from sqlalchemy import (
    BigInteger,
    Boolean,
    CheckConstraint,
    Column,
    DateTime,
    Identity,
    Index,
    Integer,
    LargeBinary,
    SmallInteger,
    Table,
    Text,
    UniqueConstraint,
    Uuid,
    text,
)
from sqlalchemy.dialects.postgresql import JSONB

from billing.common.tables import metadata

_TIME = DateTime(timezone=True)

sms_providers = Table(
    "sms_providers",
    metadata,
    Column("code", Text, primary_key=True),
    Column("kind", Text, nullable=False),
    Column("state", Text, nullable=False),
    # The lowest first.
    Column("priority", SmallInteger, nullable=False),
    Column("rate_per_minute", Integer, nullable=False),
    Column("settings", JSONB, nullable=False),
    Column("secrets", LargeBinary, nullable=False),
    # The secret part of the webhooks' address, sealed: it is shown to the admin again.
    Column("token", LargeBinary, nullable=False),
    # Moves with every change, so that workers make the connection anew.
    Column("version", Integer, nullable=False),
    # When the rate allows the next message.
    Column("next_slot_at", _TIME, nullable=False, server_default=text("'epoch'")),
    # Not asked before that: it refuses everything, or is away.
    Column("not_before", _TIME),
    Column("failures", Integer, nullable=False, server_default=text("0")),
    Column("last_error", Text),
    Column("last_error_at", _TIME),
    Column("created_at", _TIME, nullable=False),
    Column("updated_at", _TIME, nullable=False),
    CheckConstraint("state IN ('active', 'paused')", name="state"),
    CheckConstraint("rate_per_minute > 0", name="rate_per_minute"),
)

sms_webhooks = Table(
    "sms_webhooks",
    metadata,
    Column("position", BigInteger, Identity(always=True), primary_key=True),
    Column("id", Uuid, nullable=False, unique=True),
    Column("provider", Text, nullable=False),
    # Of the raw bytes: what comes again changes nothing.
    Column("digest", LargeBinary, nullable=False),
    Column("signed", Boolean, nullable=False),
    # Sealed, and dropped once it was worked on.
    Column("content", LargeBinary),
    Column("state", Text, nullable=False, server_default=text("'pending'")),
    Column("attempts", Integer, nullable=False, server_default=text("0")),
    Column("received_at", _TIME, nullable=False),
    Column("next_at", _TIME, nullable=False),
    Column("finished_at", _TIME),
    Column("result", Text),
    CheckConstraint("state IN ('pending', 'done', 'dead')", name="state"),
    UniqueConstraint("provider", "digest"),
    Index("sms_webhooks_next_at_idx", "next_at", postgresql_where=text("state = 'pending'")),
    Index("sms_webhooks_dead_idx", "position", postgresql_where=text("state = 'dead'")),
    Index("sms_webhooks_received_at_idx", "received_at"),
    Index("sms_webhooks_kept_idx", "provider", "state", postgresql_where=text("state <> 'done'")),
)
