"""Messages, attempts to send them, what customers wrote, and the words in force."""

from __future__ import annotations

from sqlalchemy import (
    ARRAY,
    Boolean,
    CheckConstraint,
    Column,
    DateTime,
    ForeignKey,
    Index,
    Integer,
    LargeBinary,
    Numeric,
    Sequence,
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
_QUEUED = text("status = 'queued'")

messages = Table(
    "messages",
    metadata,
    Column("id", Uuid, primary_key=True),
    Column("channel", Text, nullable=False, server_default=text("'sms'")),
    Column("customer_id", Uuid),
    Column("phone_hash", LargeBinary, nullable=False),
    Column("phone_masked", Text, nullable=False),
    # Gone when no longer needed: the text once a provider has it, the phone once it is over.
    Column("phone_encrypted", LargeBinary),
    Column("text_encrypted", LargeBinary),
    Column("purpose", Text, nullable=False),
    Column("kind", Text),
    Column("language", Text, nullable=False),
    Column("verification_id", Uuid),
    Column("cause", Uuid, unique=True),
    Column("zone", Text),
    Column("via", Text),
    Column("urgency", SmallInteger, nullable=False),
    Column("status", Text, nullable=False, server_default=text("'queued'")),
    Column("status_at", _TIME, nullable=False),
    Column("created_at", _TIME, nullable=False),
    Column("not_before", _TIME, nullable=False),
    Column("next_at", _TIME, nullable=False),
    Column("expires_at", _TIME, nullable=False),
    Column("lease", Uuid),
    Column("leased_until", _TIME),
    # Providers tried in this round, and rounds made: each begins with the first provider again.
    Column("tried", ARRAY(Text), nullable=False, server_default=text("'{}'")),
    Column("rounds", SmallInteger, nullable=False, server_default=text("0")),
    Column("attempts", Integer, nullable=False, server_default=text("0")),
    Column("attempt_id", Uuid),
    Column("provider", Text),
    Column("provider_message_id", Text),
    Column("segments", SmallInteger, nullable=False),
    Column("price", Numeric(14, 5)),
    Column("currency", Text),
    Column("error", Text),
    # When the provider is asked what became of it, and how often it was.
    Column("ask_at", _TIME),
    Column("asked", SmallInteger, nullable=False, server_default=text("0")),
    # How often the provider said that it never came.
    Column("missing", SmallInteger, nullable=False, server_default=text("0")),
    Column("dead", Boolean, nullable=False, server_default=text("false")),
    Column("finished_at", _TIME),
    CheckConstraint("channel IN ('sms')", name="channel"),
    CheckConstraint("purpose IN ('verification', 'notice', 'reply', 'test')", name="purpose"),
    CheckConstraint(
        "status IN ('queued', 'unknown', 'accepted', 'sent', 'expired', 'failed', 'delivered')",
        name="status",
    ),
    Index("messages_turn_idx", "urgency", "next_at", postgresql_where=_QUEUED),
    Index("messages_expires_at_idx", "expires_at", postgresql_where=_QUEUED),
    Index("messages_ask_at_idx", "ask_at", postgresql_where=text("ask_at IS NOT NULL")),
    Index(
        "messages_leased_until_idx",
        "leased_until",
        postgresql_where=text("leased_until IS NOT NULL"),
    ),
    Index("messages_customer_id_idx", "customer_id", "id"),
    Index("messages_phone_hash_idx", "phone_hash"),
    Index("messages_dead_idx", "id", postgresql_where=text("dead")),
    Index("messages_finished_at_idx", "finished_at"),
    Index(
        "messages_kept_idx",
        "finished_at",
        postgresql_where=text(
            "finished_at IS NOT NULL"
            " AND (phone_encrypted IS NOT NULL OR text_encrypted IS NOT NULL)"
        ),
    ),
)

# The number by which a provider that takes only numbers knows an attempt.
numbers = Sequence("message_numbers", metadata=metadata, maxvalue=2**31 - 1, cycle=True)

message_attempts = Table(
    "message_attempts",
    metadata,
    Column("id", Uuid, primary_key=True),
    Column(
        "message_id",
        Uuid,
        ForeignKey(messages.c.id, ondelete="CASCADE"),
        nullable=False,
        index=True,
    ),
    Column("provider", Text, nullable=False),
    Column("number", Integer, nullable=False),
    Column("at", _TIME, nullable=False),
    Column("finished_at", _TIME),
    Column("outcome", Text),
    Column("code", Text),
    Column("detail", Text),
    Column("provider_message_id", Text),
    CheckConstraint(
        "outcome IN ('accepted', 'rejected', 'refused', 'unknown', 'lost')", name="outcome"
    ),
    Index(
        "message_attempts_provider_message_id_idx",
        "provider",
        "provider_message_id",
        postgresql_where=text("provider_message_id IS NOT NULL"),
    ),
    Index(
        "message_attempts_failed_idx",
        "provider",
        "at",
        postgresql_where=text("outcome IN ('rejected', 'refused', 'unknown', 'lost')"),
    ),
)

message_inbound = Table(
    "message_inbound",
    metadata,
    Column("id", Uuid, primary_key=True),
    Column("provider", Text, nullable=False),
    Column("provider_message_id", Text, nullable=False),
    Column("phone_hash", LargeBinary, nullable=False),
    Column("phone_masked", Text, nullable=False),
    Column("command", Text, nullable=False),
    Column("outcome", Text, nullable=False),
    Column("answered", Boolean, nullable=False),
    Column("received_at", _TIME, nullable=False),
    UniqueConstraint("provider", "provider_message_id"),
    Index("message_inbound_phone_hash_idx", "phone_hash", "received_at"),
    Index("message_inbound_received_at_idx", "received_at"),
    Index("message_inbound_answered_idx", "received_at", postgresql_where=text("answered")),
)

message_opt_outs = Table(
    "message_opt_outs",
    metadata,
    Column("phone_hash", LargeBinary, primary_key=True),
    Column("since", _TIME, nullable=False),
    Column("via", Text, nullable=False),
)

message_templates = Table(
    "message_templates",
    metadata,
    Column("kind", Text, primary_key=True),
    Column("language", Text, primary_key=True),
    Column("version", Integer, primary_key=True, autoincrement=False),
    Column("text", Text, nullable=False),
    Column("created_by", Text, nullable=False),
    Column("created_at", _TIME, nullable=False),
    CheckConstraint("version > 0", name="version"),
)

message_settings = Table(
    "message_settings",
    metadata,
    Column("version", Integer, primary_key=True, autoincrement=False),
    Column("settings", JSONB, nullable=False),
    Column("created_by", Text, nullable=False),
    Column("created_at", _TIME, nullable=False),
)
