"""Queries of notices: which day is next, whose lots end on it, and who was told."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from datetime import date, datetime, timedelta
from typing import Final
from uuid import UUID

from msgspec import Struct
from sqlalchemy import text
from sqlalchemy.ext.asyncio import AsyncConnection

from billing.notices.model import Holdings
from ledger.model import Hold, Lot
from ledger.sql import LOT_COLUMNS

NOBODY: Final = UUID(int=0)
RUNS_KEPT: Final = timedelta(days=366)
"""Longer: by the last one a worker that slept knows which days it has missed."""


class Run(Struct, frozen=True):
    """A day's walk over the lots that expire `days_ahead` later, and how far it is."""

    days_ahead: int
    day: date
    after_expires_at: datetime | None
    after_customer_id: UUID | None


Place = tuple[datetime, UUID]
"""Where in the walk: an instant of expiry, and a customer."""

_OPEN = text("""
INSERT INTO billing.notice_runs (days_ahead, day, started_at)
SELECT a.n, d::date, :now
FROM unnest(CAST(:ahead AS smallint[])) AS a (n)
CROSS JOIN LATERAL (
    SELECT max(day) AS day FROM billing.notice_runs r
    WHERE r.days_ahead = a.n AND r.day <= CAST(:today AS date)) AS last
CROSS JOIN LATERAL generate_series(
    greatest(coalesce(last.day + 1, CAST(:today AS date)), CAST(:today AS date) - a.n::integer),
    CAST(:today AS date), interval '1 day') AS d
ON CONFLICT DO NOTHING
""")
"""The days from the last one on; of those that a worker slept through, the ones whose points can
still be spent. What is new begins today."""

_CLAIM = text("""
SELECT days_ahead, day, after_expires_at, after_customer_id FROM billing.notice_runs
WHERE finished_at IS NULL AND day <= :today
ORDER BY day, days_ahead LIMIT 1 FOR UPDATE SKIP LOCKED
""")

WALK: Final = """
SELECT expires_at, customer_id FROM ledger.lots
WHERE open AND expires_at >= :begin AND expires_at < :end
  AND (expires_at, customer_id) > (CAST(:after_at AS timestamptz), CAST(:after AS uuid))
GROUP BY expires_at, customer_id ORDER BY expires_at, customer_id LIMIT :limit
"""
"""In the order of the index, so that each step reads on where the last one ended."""
_WALK = text(WALK)
IN_ORDER: Final = "SET LOCAL enable_bitmapscan = off"
"""A day of a million lots would otherwise be gathered and sorted again for every step."""
_IN_ORDER = text(IN_ORDER)

_HOLDINGS = text(f"""
SELECT {", ".join(f"l.{name.strip()}" for name in LOT_COLUMNS.split(","))},
       h.id, h.status, h.expires_at, h.lots, h.amounts, h.captured
FROM ledger.lots l
LEFT JOIN ledger.holds h ON l.held > 0 AND h.customer_id = l.customer_id AND h.status = 'open'
    AND h.expires_at <= :now AND l.id = ANY(h.lots)
WHERE l.customer_id = ANY(:customers) AND l.open
""")
"""Lots and holds by one statement, so that both are of one moment."""
_LOT_WIDTH = len(LOT_COLUMNS.split(","))

_TELL = text("""
INSERT INTO billing.notices (customer_id, expires_on, days_ahead, event_id)
SELECT customer_id, :on, :ahead, event_id
FROM unnest(CAST(:customers AS uuid[]), CAST(:events AS uuid[])) AS n (customer_id, event_id)
ON CONFLICT DO NOTHING RETURNING customer_id
""")

_MOVE = text("""
UPDATE billing.notice_runs
SET after_expires_at = :after_at, after_customer_id = :after, notices = notices + :notices,
    finished_at = :finished_at
WHERE days_ahead = :ahead AND day = :day
""")

_FORGET = text("DELETE FROM billing.notices WHERE expires_on < :before")
_FORGET_RUNS = text("DELETE FROM billing.notice_runs WHERE day < :before")


async def open_runs(tx: AsyncConnection, ahead: Sequence[int], today: date, now: datetime) -> None:
    """Let there be a run for every day that is not done, up to today."""
    await tx.execute(_OPEN, {"ahead": list(ahead), "today": today, "now": now})


async def claim(tx: AsyncConnection, today: date) -> Run | None:
    """The oldest run that is not done and that nobody works on; ours until the transaction ends."""
    row = (await tx.execute(_CLAIM, {"today": today})).one_or_none()
    return None if row is None else Run(*row)


async def walk(
    tx: AsyncConnection, begin: datetime, end: datetime, after: Place, limit: int
) -> list[Place]:
    """The next places with open lots that expire between `begin` and `end` (exclusive)."""
    values = {"begin": begin, "end": end, "after_at": after[0], "after": after[1], "limit": limit}
    await tx.execute(_IN_ORDER)
    return [(row[0], row[1]) for row in await tx.execute(_WALK, values)]


async def holdings_of(
    tx: AsyncConnection, customers: Sequence[UUID], now: datetime
) -> list[Holdings]:
    """The open lots of `customers` as they stand in the table, and holds whose time is over."""
    found = {one: Holdings(one, {}, {}) for one in customers}
    for row in await tx.execute(_HOLDINGS, {"customers": list(customers), "now": now}):
        values = tuple(row)
        holdings = found[values[0]]
        lot = Lot(*values[1:_LOT_WIDTH])
        holdings.lots[lot.id] = lot
        hold_id, status, expires_at, lots, amounts, captured = values[_LOT_WIDTH:]
        if hold_id is not None:
            parts = tuple(zip(lots, amounts, strict=True))
            holdings.holds[hold_id] = Hold(hold_id, status, expires_at, parts, captured)
    return list(found.values())


async def tell(
    tx: AsyncConnection, on: date, ahead: int, events: Mapping[UUID, UUID | None]
) -> set[UUID]:
    """Note that customers are told by these events; those who were not before."""
    values: dict[str, object] = {"on": on, "ahead": ahead}
    values |= {"customers": list(events), "events": list(events.values())}
    return {row[0] for row in await tx.execute(_TELL, values)}


async def move(
    tx: AsyncConnection, run: Run, after: Place, notices: int, finished_at: datetime | None
) -> None:
    """Go on from `after` the next time, or never again."""
    values: dict[str, object] = {"after_at": after[0], "after": after[1], "notices": notices}
    values |= {"finished_at": finished_at, "ahead": run.days_ahead, "day": run.day}
    await tx.execute(_MOVE, values)


async def forget(tx: AsyncConnection, before: date) -> None:
    """Drop what was told of days before `before`: nobody can be told of them again."""
    await tx.execute(_FORGET, {"before": before})
    await tx.execute(_FORGET_RUNS, {"before": before - RUNS_KEPT})
