"""Campaigns, their uploaded audiences, their runs and the customers a run set aside."""

from __future__ import annotations

from sqlalchemy import (
    ARRAY,
    BigInteger,
    CheckConstraint,
    Column,
    DateTime,
    ForeignKey,
    Index,
    Integer,
    Table,
    Text,
    UniqueConstraint,
    Uuid,
    text,
)
from sqlalchemy.dialects.postgresql import JSONB

from billing.common.tables import metadata

_TIME = DateTime(timezone=True)


def _count(name: str) -> Column[int]:
    return Column(name, BigInteger, nullable=False, server_default=text("0"))


campaigns = Table(
    "campaigns",
    metadata,
    Column("code", Text, primary_key=True),
    Column("definition", JSONB, nullable=False),
    # Moves with every change of the definition or the list: a preview is of one revision.
    Column("revision", Integer, nullable=False),
    Column("state", Text, nullable=False),
    Column("author", Text, nullable=False),
    # The keys that made it what it is: none of them may approve it.
    Column("hands", ARRAY(Uuid), nullable=False),
    _count("audience_size"),
    Column("preview_job", Uuid),
    Column("created_at", _TIME, nullable=False),
    Column("updated_at", _TIME, nullable=False),
    Column("submitted_by", Text),
    Column("submitted_at", _TIME),
    Column("approved_by", Text),
    Column("approved_at", _TIME),
    # What it may give without a second person, in all its runs; null: as much as it says.
    Column("allowance", BigInteger),
    Column("next_run_at", _TIME),
    Column("failure", Text),
    CheckConstraint(
        "state IN ('draft', 'waiting_approval', 'scheduled', 'running', 'paused', 'finished', "
        "'cancelled', 'failed')",
        name="state",
    ),
    Index("campaigns_next_run_at_idx", "next_run_at", postgresql_where=text("state = 'scheduled'")),
)

campaign_audience = Table(
    "campaign_audience",
    metadata,
    Column("code", Text, ForeignKey(campaigns.c.code), primary_key=True),
    Column("customer_id", Uuid, primary_key=True),
)

campaign_runs = Table(
    "campaign_runs",
    metadata,
    Column("id", Uuid, primary_key=True),
    Column("code", Text, ForeignKey(campaigns.c.code), nullable=False),
    Column("scheduled_at", _TIME, nullable=False),
    Column("state", Text, nullable=False),
    Column("started_at", _TIME),
    # When a chunk was last counted, or the run taken up again.
    Column("moved_at", _TIME),
    Column("finished_at", _TIME),
    Column("total", BigInteger),
    # The last customer that is counted. It only saves work: what was given, the ledger knows.
    Column("cursor", Uuid),
    _count("seen"),
    _count("customers"),
    _count("given"),
    _count("points"),
    _count("failed"),
    Column("skipped", JSONB, nullable=False, server_default=text("'{}'")),
    Column("attempts", Integer, nullable=False, server_default=text("0")),
    Column("error", Text),
    CheckConstraint(
        "state IN ('running', 'finished', 'cancelled', 'failed', 'skipped')", name="state"
    ),
    UniqueConstraint("code", "scheduled_at"),
    Index("campaign_runs_started_at_idx", "started_at", postgresql_where=text("state = 'running'")),
)

campaign_failures = Table(
    "campaign_failures",
    metadata,
    Column("run_id", Uuid, ForeignKey(campaign_runs.c.id), primary_key=True),
    Column("customer_id", Uuid, primary_key=True),
    Column("error", Text, nullable=False),
    Column("at", _TIME, nullable=False),
)
