"""The list of postings in the order they were written: what every total drills down to.

It selects by `ledger.selection`, as the totals do, so that a list and its total cannot disagree.
The roll-ups know where in the journal their postings lie, so that a page of few among many looks
there, and does not read years of the journal.
"""

from __future__ import annotations

from typing import Final
from uuid import UUID

import asyncpg
from msgspec import Struct

from ledger.listing import LISTED, days_of
from ledger.seals import era
from ledger.selection import Selection, Terms, all_of
from ledger.sums import TIMEOUT_S, Snapshot

WrittenKey = tuple[int, UUID, int, int]
"""Where a posting stands by what was written first: (commit, customer, version, seq)."""

GAP: Final = 1000
"""Commits between two stretches that are rather read than left out."""

_SETTLED: Final = f"(t.xid + 0 <= (SELECT ledger.horizon()) OR t.xid + 0 >= ({era.NEXT}))"
"""Written when nothing older was under way any more, or in a server before a restore. `+ 0`: the
index is for the order, not for these two bounds."""
_PERIOD: Final = """
WITH period AS MATERIALIZED (
    SELECT min(xid + 0) AS first, max(xid + 0) AS last FROM ledger.transactions t {})
"""
"""Where in the journal a period lies: the planner would look for its first row from the journal's
beginning, and for its last one until the end."""
_WITHIN: Final = "t.xid BETWEEN (SELECT first FROM period) AND (SELECT last FROM period)"


class Stretch(Struct, frozen=True):
    """A part of the journal, by commits, both inclusive; `last` None: to its end."""

    first: int
    last: int | None


async def page_of_written(
    connection: Snapshot, selection: Selection, limit: int, after: WrittenKey | None
) -> list[asyncpg.Record]:
    """Postings in the order they were written: rows of the commit's number and `LISTED`.

    What might still be preceded by something that commits late is not listed yet: a page that
    goes on after another misses nothing.
    """
    place = await connection.fetchrow(_PLACE) if _is_narrow(selection) else None
    if place is None:
        return await _page(connection, selection, limit, after, None)
    rows: list[asyncpg.Record] = []
    beyond = -1 if after is None else after[0] - 1
    while stretches := await _stretches(connection, selection, limit, beyond, place["zone"]):
        for one in stretches:
            rows += await _page(connection, selection, limit - len(rows), after, one)
            if len(rows) == limit:
                return rows
            beyond = one.last or beyond
    tail = Stretch(place["xid"], None)
    return rows + await _page(connection, selection, limit - len(rows), after, tail)


_PLACE = f"""
SELECT xid, zone FROM ledger.rollup_state
WHERE zone IS NOT NULL AND placed_xid = xid AND xid <= ({era.NEXT})
"""


def _is_narrow(selection: Selection) -> bool:
    """Whether much of the journal may be left out, and the roll-ups know what."""
    if selection.customer_id is not None:
        return False
    begins = selection.since is not None or selection.known_since is not None
    return begins or bool(Terms().others(selection, "r"))


_STRETCHES = """
WITH cells AS (
    SELECT first_xid AS first, last_xid AS last, count FROM ledger.rollups r {where}
    ORDER BY first_xid, last_xid LIMIT {limit}
), counted AS (
    SELECT first, last,
           sum(count) OVER (ORDER BY first, last ROWS UNBOUNDED PRECEDING) - count AS before,
           max(last) OVER (ORDER BY first, last ROWS BETWEEN UNBOUNDED PRECEDING AND 1 PRECEDING)
               AS reached
    FROM cells
), runs AS (
    SELECT first, last, count(*) FILTER (WHERE first > reached + {gap})
               OVER (ORDER BY first, last ROWS UNBOUNDED PRECEDING) AS run
    FROM counted WHERE before < {limit}
)
SELECT min(first) AS first, max(last) AS last FROM runs GROUP BY run ORDER BY run
"""
"""Each cell has a posting at least: no more cells are looked at than postings are wanted."""


async def _stretches(
    connection: Snapshot, selection: Selection, limit: int, beyond: int, zone: str
) -> list[Stretch]:
    """The next stretches that hold `limit` postings, or all that are left: whatever lies between
    them is of no concern. Those that end at `beyond` or before are passed."""
    terms = Terms()
    conditions = [*days_of(selection, terms, zone), *terms.others(selection, "r")]
    conditions.append(f"r.last_xid > {terms.mark(beyond)}")
    query = _STRETCHES.format(
        where=all_of(conditions), gap=GAP, limit=f"{terms.mark(limit)}::bigint"
    )
    rows = await connection.fetch(query, *terms.values, timeout=TIMEOUT_S)
    return [Stretch(max(row["first"], beyond + 1), row["last"]) for row in rows]


async def _page(
    connection: Snapshot,
    selection: Selection,
    limit: int,
    after: WrittenKey | None,
    stretch: Stretch | None,
) -> list[asyncpg.Record]:
    terms = Terms()
    period = ""
    conditions = [*terms.all(selection, "p"), _SETTLED]
    if stretch is not None:
        conditions.append(f"t.xid >= {terms.mark(stretch.first)}")
        if stretch.last is not None:
            conditions.append(f"t.xid <= {terms.mark(stretch.last)}")
    elif selection.since is not None and selection.customer_id is None:
        period = _PERIOD.format(all_of(terms.times(selection, "t")))
        conditions.append(_WITHIN)
    if after is not None:
        marks = [terms.mark(value) for value in after]
        conditions.append(f"t.xid >= {marks[0]}")
        conditions.append(f"(t.xid, t.customer_id, t.version, p.seq) > ({', '.join(marks)})")
    return await connection.fetch(
        f"{period}SELECT t.xid, {LISTED} FROM ledger.postings p"
        " JOIN ledger.transactions t ON t.customer_id = p.customer_id AND t.version = p.version"
        f" {all_of(conditions)} ORDER BY t.xid, t.customer_id, t.version, p.seq LIMIT {limit:d}",
        *terms.values,
        timeout=TIMEOUT_S,
    )
