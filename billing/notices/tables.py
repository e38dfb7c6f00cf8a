"""Who was told of which day's expiry, and how far each day's notices are."""

from __future__ import annotations

from sqlalchemy import BigInteger, Column, Date, DateTime, Index, SmallInteger, Table, Uuid, text

from billing.common.tables import metadata

_TIME = DateTime(timezone=True)

notices = Table(
    "notices",
    metadata,
    Column("customer_id", Uuid, primary_key=True),
    Column("expires_on", Date, primary_key=True),
    Column("days_ahead", SmallInteger, primary_key=True),
    Column("event_id", Uuid, nullable=False),
    Index("notices_expires_on_idx", "expires_on"),
)

notice_runs = Table(
    "notice_runs",
    metadata,
    Column("days_ahead", SmallInteger, primary_key=True, autoincrement=False),
    Column("day", Date, primary_key=True),
    Column("started_at", _TIME, nullable=False),
    # The last place of the walk over the lots that expire on that day: a killed run goes on there.
    Column("after_expires_at", _TIME),
    Column("after_customer_id", Uuid),
    Column("notices", BigInteger, nullable=False, server_default=text("0")),
    Column("finished_at", _TIME),
)
