"""The list of postings in the order of a time, page by page: general ledgers, files.

It selects by `ledger.selection`, as the totals do, so that a list and its total cannot disagree.
The roll-ups tell how far to look for a page, so that a list over years does not sort years.
"""

from __future__ import annotations

from datetime import datetime, timedelta
from typing import Final
from uuid import UUID

import asyncpg
from msgspec import Struct

from ledger.seals import era
from ledger.selection import TIMES, Selection, Terms, TimeAxis, all_of
from ledger.service import Ledger
from ledger.sql import POSTING_COLUMNS
from ledger.sums import TIMEOUT_S, Snapshot, snapshot

PostingKey = tuple[datetime, UUID, int, int]
"""Where a posting stands in the list: (time, customer, version, seq)."""

_INSTANT: Final = timedelta(microseconds=1)
_LAST: Final = (UUID(int=2**128 - 1), 2**63 - 1, 2**31 - 1)
LISTED: Final = f"p.customer_id, p.version, p.seq, p.occurred_at, p.recorded_at, {POSTING_COLUMNS}"


class Window(Struct, frozen=True):
    """A stretch of the list that holds a page, if there is one: it ends before `ends` (None: with
    the list), and what is in it was recorded within `recorded`, or from `tail` on."""

    ends: datetime | None
    recorded: tuple[datetime, datetime] | None
    tail: datetime | None


async def list_postings(
    ledger: Ledger,
    selection: Selection,
    limit: int,
    after: PostingKey | None = None,
    axis: TimeAxis = "recorded_at",
) -> list[asyncpg.Record]:
    """Postings in the order of a time: rows of `LISTED`."""
    async with snapshot(ledger) as connection:
        return await page_of_postings(connection, selection, limit, after, axis)


async def page_of_postings(
    connection: Snapshot,
    selection: Selection,
    limit: int,
    after: PostingKey | None,
    axis: TimeAxis = "recorded_at",
) -> list[asyncpg.Record]:
    """As `list_postings`, in a snapshot."""
    rows: list[asyncpg.Record] = []
    while True:
        left = limit - len(rows)
        window = await _window(connection, selection, left, after, axis)
        rows += await _page(connection, selection, left, after, axis, window)
        if window is None or window.ends is None or len(rows) >= limit:
            return rows
        after = (window.ends - _INSTANT, *_LAST)


async def _page(
    connection: Snapshot,
    selection: Selection,
    limit: int,
    after: PostingKey | None,
    axis: TimeAxis,
    window: Window | None,
) -> list[asyncpg.Record]:
    terms = Terms()
    conditions = terms.all(selection, "p")
    if after is not None:
        marks = ", ".join(terms.mark(value) for value in after)
        conditions.append(f"(p.{axis}, p.customer_id, p.version, p.seq) > ({marks})")
        # The index that summarises blocks understands bounds of one column only.
        conditions.append(f"p.{axis} >= {terms.mark(after[0])}")
    if window is not None:
        conditions += _within(window, terms, axis)
    return await connection.fetch(
        f"SELECT {LISTED} FROM ledger.postings p {all_of(conditions)}"
        f" ORDER BY p.{axis}, p.customer_id, p.version, p.seq LIMIT {limit:d}",
        *terms.values,
        timeout=TIMEOUT_S,
    )


def _within(window: Window, terms: Terms, axis: TimeAxis) -> list[str]:
    recorded = []
    if window.recorded is not None:
        first, last = (terms.mark(bound) for bound in window.recorded)
        recorded.append(f"p.recorded_at >= {first} AND p.recorded_at < {last}")
    if window.tail is not None:
        recorded.append(f"p.recorded_at >= {terms.mark(window.tail)}")
    conditions = [f"({' OR '.join(recorded) or 'false'})"]
    if window.ends is not None:
        conditions.append(f"p.{axis} < {terms.mark(window.ends)}")
    return conditions


_PLACE = f"""
SELECT zone, (SELECT min(t.recorded_at) FROM ledger.transactions t WHERE t.xid >= s.xid) AS tail
FROM ledger.rollup_state s
WHERE zone IS NOT NULL AND xid <= ({era.NEXT})
"""


async def _window(
    connection: Snapshot,
    selection: Selection,
    limit: int,
    after: PostingKey | None,
    axis: TimeAxis,
) -> Window | None:
    """The next stretch with `limit` postings, by whole days; None: there are no roll-ups to ask."""
    if selection.customer_id is not None:
        return None
    place = await connection.fetchrow(_PLACE)
    if place is None:
        return None
    terms = Terms()
    conditions = [*days_of(selection, terms, place["zone"]), *terms.others(selection, "r")]
    day = axis.replace("_at", "_day")
    if after is not None:
        moment, zone = terms.mark(after[0] + _INSTANT), terms.mark(place["zone"])
        conditions.append(f"r.{day} >= ({moment} AT TIME ZONE {zone})::date")
    row = await connection.fetchrow(
        _STRETCH.format(
            day=day,
            where=all_of(conditions),
            narrow="AND" if conditions else "WHERE",
            zone=terms.mark(place["zone"]),
            limit=terms.mark(limit),
        ),
        *terms.values,
        timeout=TIMEOUT_S,
    )
    if row is None or row["ends"] is None:
        return Window(None, None, place["tail"])
    return Window(row["ends"], (row["first"], row["last"]), place["tail"])


_STRETCH = """
WITH cells AS (
    SELECT r.{day} AS day, r.count FROM ledger.rollups r {where}
    ORDER BY r.{day} LIMIT {limit}::bigint
), days AS (
    SELECT day, sum(count) AS count FROM cells GROUP BY day
), until AS (
    SELECT max(day) AS day
    FROM (SELECT day, sum(count) OVER (ORDER BY day) - count AS before FROM days) AS running
    WHERE before < {limit}::bigint
)
SELECT (max(r.{day}) + 1)::timestamp AT TIME ZONE {zone} AS ends,
       min(r.recorded_day)::timestamp AT TIME ZONE {zone} AS first,
       (max(r.recorded_day) + 1)::timestamp AT TIME ZONE {zone} AS last
FROM ledger.rollups r {where} {narrow} r.{day} <= (SELECT day FROM until)
"""
"""Each cell has a posting at least: no more cells are counted than postings are wanted."""


def days_of(selection: Selection, terms: Terms, zone: str) -> list[str]:
    """The bounds of a selection for cells: every day of which some part is asked for."""
    conditions = []
    for name, term in TIMES:
        bound = getattr(selection, name)
        if bound is not None:
            column = "recorded_day" if name.startswith("known") else "occurred_day"
            at = "<=" if "<" in term else ">="
            conditions.append(
                f"r.{column} {at} ({terms.mark(bound)} AT TIME ZONE {terms.mark(zone)})::date"
            )
    return conditions
