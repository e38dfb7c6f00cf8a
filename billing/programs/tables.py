"""Programs, their versions and what is used of their limits. Published versions never change."""

from __future__ import annotations

from sqlalchemy import (
    BigInteger,
    CheckConstraint,
    Column,
    DateTime,
    ForeignKey,
    Integer,
    Table,
    Text,
    Uuid,
    text,
)
from sqlalchemy.dialects.postgresql import JSONB

from billing.common.tables import metadata

_TIME = DateTime(timezone=True)

programs = Table(
    "programs",
    metadata,
    Column("code", Text, primary_key=True),
    Column("created_at", _TIME, nullable=False, server_default=text("now()")),
    Column("archived_at", _TIME),
)

program_versions = Table(
    "program_versions",
    metadata,
    Column("code", Text, ForeignKey(programs.c.code), primary_key=True),
    Column("version", Integer, primary_key=True, autoincrement=False),
    Column("definition", JSONB, nullable=False),
    Column("author", Text, nullable=False),
    Column("created_at", _TIME, nullable=False, server_default=text("now()")),
    Column("effective_from", _TIME),
    Column("published_at", _TIME),
    Column("publisher", Text),
    CheckConstraint("(effective_from IS NULL) = (published_at IS NULL)", name="published"),
)

counters = Table(
    "counters",
    metadata,
    # How much of a limit is used. The house's own, such as a budget, are of the nil customer.
    Column("customer_id", Uuid, primary_key=True),
    Column("name", Text, primary_key=True),
    Column("value", BigInteger, nullable=False),
)
