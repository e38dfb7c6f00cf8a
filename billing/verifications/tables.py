"""Verifications, and how often codes were sent. Phones and texts are sealed, codes only a MAC."""

from __future__ import annotations

from sqlalchemy import (
    BigInteger,
    CheckConstraint,
    Column,
    DateTime,
    ForeignKey,
    Index,
    Integer,
    LargeBinary,
    SmallInteger,
    Table,
    Text,
    Uuid,
    text,
)

from billing.common.tables import metadata
from billing.customers.tables import customers

_TIME = DateTime(timezone=True)
_OPEN = text("state = 'open'")

verifications = Table(
    "verifications",
    metadata,
    Column("id", Uuid, primary_key=True),
    Column("customer_id", Uuid, ForeignKey(customers.c.id), nullable=False),
    Column("purpose", Text, nullable=False),
    Column("method", Text, nullable=False),
    Column("state", Text, nullable=False),
    Column("phone_hash", LargeBinary),
    Column("phone_masked", Text, nullable=False),
    # The new phone of a change, under the person's own key.
    Column("phone_encrypted", LargeBinary),
    Column("language", Text, nullable=False),
    # The most a redemption may be of, in 1/100.
    Column("points", BigInteger),
    Column("code_mac", LargeBinary),
    Column("provider_ref", Text),
    Column("attempts", SmallInteger, nullable=False, server_default=text("0")),
    Column("max_attempts", SmallInteger, nullable=False),
    Column("sends", SmallInteger, nullable=False),
    Column("text_version", Text, nullable=False),
    # The text that was sent, a mark in the place of the code.
    Column("text_encrypted", LargeBinary),
    Column("message_id", Uuid),
    Column("channel", Text),
    Column("store", Text),
    Column("seller", Text),
    Column("author", Text, nullable=False),
    Column("created_at", _TIME, nullable=False),
    Column("sent_at", _TIME, nullable=False),
    Column("expires_at", _TIME, nullable=False),
    Column("confirmed_at", _TIME),
    Column("confirmed_by", Text),
    CheckConstraint("purpose IN ('registration', 'redemption', 'phone_change')", name="purpose"),
    CheckConstraint("method IN ('sms_code', 'sms_reply', 'provider', 'flash_call')", name="method"),
    CheckConstraint("state IN ('open', 'confirmed', 'failed', 'superseded')", name="state"),
    CheckConstraint("attempts BETWEEN 0 AND max_attempts", name="attempts"),
    Index("verifications_open_idx", "customer_id", "purpose", unique=True, postgresql_where=_OPEN),
    Index("verifications_phone_idx", "phone_hash", postgresql_where=_OPEN),
    Index("verifications_customer_id_idx", "customer_id", "created_at"),
    Index(
        "verifications_provider_ref_idx",
        "provider_ref",
        unique=True,
        postgresql_where=text("provider_ref IS NOT NULL"),
    ),
)

verification_phones = Table(
    "verification_phones",
    metadata,
    Column("phone_hash", LargeBinary, primary_key=True),
    Column("sends", Integer, nullable=False),
    Column("last_sent_at", _TIME, nullable=False),
)

verification_limits = Table(
    "verification_limits",
    metadata,
    Column("scope", Text, primary_key=True),
    # A keyed hash: neither phones nor addresses stand here.
    Column("key", LargeBinary, primary_key=True),
    Column("since", _TIME, primary_key=True),
    Column("until", _TIME, nullable=False),
    Column("used", BigInteger, nullable=False),
    Index("verification_limits_until_idx", "until"),
)
