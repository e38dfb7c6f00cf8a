"""Sums of postings by flow and dimensions: the one query behind every total and report.

Whole days come from `ledger.rollups`; days of which only a part is asked for, and transactions
that are not rolled up yet, are read as they are, all in one snapshot. What the roll-ups cannot
be asked (one customer, another time zone) is read as it is altogether.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from datetime import date, datetime
from typing import Any, Final, TypeAlias

import asyncpg
from msgspec import Struct

from ledger.errors import Unavailable
from ledger.flows import Account, Kind
from ledger.seals import era
from ledger.selection import Dimension, Selection, Terms, all_of
from ledger.service import Ledger, Pool

TIMEOUT_S: Final = 120.0

Snapshot: TypeAlias = (
    "asyncpg.Connection[asyncpg.Record] | asyncpg.pool.PoolConnectionProxy[asyncpg.Record]"
)
"""A connection inside a transaction that sees one moment."""


class FlowSum(Struct, frozen=True):
    """What flowed from `debit` to `credit`, in 1/100 points, in how many postings."""

    kind: Kind
    debit: Account
    credit: Account
    dimensions: tuple[Any, ...]
    amount: int
    count: int


WAIT_S = 1.5
"""For a connection: a silent database is told in time, however many ask for reports."""
RETRY_AFTER_S: Final = 15
"""An export takes a while: whoever finds others at it comes again later."""


@asynccontextmanager
async def snapshot(ledger: Ledger) -> AsyncIterator[Snapshot]:
    """Everything read in the block is of one moment."""
    async with _of_one_moment(ledger.report_pool) as connection:
        yield connection


@asynccontextmanager
async def long_snapshot(ledger: Ledger) -> AsyncIterator[Snapshot]:
    """As `snapshot`, for reads of minutes: few at once, and reports are answered meanwhile.

    Raises Unavailable when others are at it.
    """
    try:
        async with asyncio.timeout(WAIT_S):
            await ledger.exports.acquire()
    except TimeoutError:
        raise Unavailable("Other exports are being made; ask again later.", RETRY_AFTER_S) from None
    try:
        async with _of_one_moment(ledger.export_pool) as connection:
            yield connection
    finally:
        ledger.exports.release()


@asynccontextmanager
async def _of_one_moment(pool: Pool) -> AsyncIterator[Snapshot]:
    async with (
        pool.acquire(timeout=WAIT_S) as connection,
        connection.transaction(isolation="repeatable_read", readonly=True),
    ):
        yield connection


async def flow_sums(
    connection: Snapshot, selection: Selection, by: Sequence[Dimension] = ()
) -> list[FlowSum]:
    """The postings of `selection`, added up by flow and dimensions, in no order."""
    query, values = await _query(connection, selection, by)
    rows = await connection.fetch(query, *values, timeout=TIMEOUT_S)
    return [
        FlowSum(kind, debit, credit, tuple(names), int(amount), int(count))
        for kind, debit, credit, *names, amount, count in rows
    ]


async def _query(
    connection: Snapshot, selection: Selection, by: Sequence[Dimension]
) -> tuple[str, list[Any]]:
    columns = ", ".join(("kind", "debit", "credit", *by))
    raw = selection.customer_id is not None or selection.of_expiry
    rolled = None if raw else await _rolled(connection, selection)
    terms = Terms()
    if rolled is None:
        source = _raw(selection, terms, columns)
    else:
        source = _parts(selection, terms, columns, rolled)
    return (
        f"SELECT {columns}, sum(amount), sum(count) FROM ({source}) AS s GROUP BY {columns}",
        terms.values,
    )


def _raw(selection: Selection, terms: Terms, columns: str) -> str:
    clause = all_of(terms.all(selection, "p"))
    return f"SELECT {columns}, amount, 1 AS count FROM ledger.postings p {clause}"


class Edge(Struct, frozen=True):
    """A bound: its day, whether the day is cut, and the day's own limits."""

    day: date
    starts: datetime
    ends: datetime
    cut: bool


class Rolled(Struct, frozen=True):
    """How far the roll-ups go, and where the selection's bounds lie in days."""

    xid: int
    zone: str
    edges: dict[str, Edge]
    spans: list[tuple[datetime, datetime]]
    """When what happened on a day that is cut was recorded."""


_PLACE = f"""
SELECT xid, zone FROM ledger.rollup_state
WHERE zone IS NOT NULL AND xid <= ({era.NEXT})
"""
_DAYS = """
SELECT day, day::timestamp AT TIME ZONE $2 AS starts, (day + 1)::timestamp AT TIME ZONE $2 AS ends
FROM (SELECT (bound AT TIME ZONE $2)::date AS day FROM unnest($1::timestamptz[]) AS bound) AS of
"""
_SPANS = """
SELECT min(day)::timestamp AT TIME ZONE $2, (max(day) + 1)::timestamp AT TIME ZONE $2
FROM (SELECT day, day - (row_number() OVER (ORDER BY day))::integer AS run
      FROM (SELECT DISTINCT recorded_day AS day FROM ledger.rollups
            WHERE occurred_day = ANY($1::date[])) AS days) AS runs
GROUP BY run ORDER BY 1
"""
_BOUNDS: Final = ("since", "as_of", "before", "known_since", "known_at", "known_before")
_AT_END: Final = ("as_of", "known_at")
"""Inclusive upper bounds: a day ends with its last microsecond, which is never asked for."""


async def _rolled(connection: Snapshot, selection: Selection) -> Rolled | None:
    place = await connection.fetchrow(_PLACE)
    if place is None:
        return None
    xid, zone = place
    bounds = {name: value for name in _BOUNDS if (value := getattr(selection, name)) is not None}
    edges: dict[str, Edge] = {}
    if bounds:
        days = await connection.fetch(_DAYS, list(bounds.values()), zone)
        for (name, bound), (day, starts, ends) in zip(bounds.items(), days, strict=True):
            cut = name in _AT_END or bound != starts
            edges[name] = Edge(day, starts, ends, cut)
    cut_days = [
        edge.day for name, edge in edges.items() if edge.cut and not name.startswith("known")
    ]
    spans = await connection.fetch(_SPANS, cut_days, zone) if cut_days else []
    return Rolled(xid, zone, edges, [(row[0], row[1]) for row in spans])


def _parts(selection: Selection, terms: Terms, columns: str, rolled: Rolled) -> str:
    """Whole days from the roll-ups; cut days and the tail above them from the postings."""
    whole = all_of([*_whole_days(rolled, terms), *terms.others(selection, "r")])
    xid = terms.mark(rolled.xid)
    tail = (
        "SELECT p.* FROM ledger.transactions t JOIN ledger.postings p"
        f" ON p.customer_id = t.customer_id AND p.version = t.version WHERE t.xid >= {xid}"
    )
    late = all_of([*terms.times(selection, "p"), *terms.others(selection, "p")])
    parts = [
        f"SELECT {columns}, amount, count FROM ledger.rollups r {whole}",
        f"SELECT {columns}, amount, 1 FROM ({tail}) AS p {late}",
    ]
    cut = _cut_days(rolled, terms)
    if cut:
        clause = all_of([f"({cut})", *terms.times(selection, "p"), *terms.others(selection, "p")])
        parts.append(
            f"SELECT {columns}, amount, 1 FROM ledger.postings p {clause} AND NOT EXISTS ("
            f"SELECT FROM ledger.transactions t WHERE t.xid >= {xid}"
            " AND t.customer_id = p.customer_id AND t.version = p.version)"
        )
    return " UNION ALL ".join(parts)


_DAY_OF: Final = {
    "since": ("occurred_day", ">=", ">"),
    "as_of": ("occurred_day", "<", "<"),
    "before": ("occurred_day", "<", "<"),
    "known_since": ("recorded_day", ">=", ">"),
    "known_at": ("recorded_day", "<", "<"),
    "known_before": ("recorded_day", "<", "<"),
}


def _whole_days(rolled: Rolled, terms: Terms) -> list[str]:
    return [
        f"r.{column} {beyond if edge.cut else within} {terms.mark(edge.day)}"
        for name, edge in rolled.edges.items()
        for column, within, beyond in (_DAY_OF[name],)
    ]


def _cut_days(rolled: Rolled, terms: Terms) -> str:
    """The days of which only a part is asked for; the selection's own bounds cut them."""
    alternatives: list[str] = []
    for name, edge in rolled.edges.items():
        if not edge.cut:
            continue
        # Only what was recorded within the spans happened on that day.
        spans = [None] if name.startswith("known") else rolled.spans
        column = "recorded_at" if name.startswith("known") else "occurred_at"
        for span in spans:
            within = [
                f"p.{column} >= {terms.mark(edge.starts)}",
                f"p.{column} < {terms.mark(edge.ends)}",
            ]
            if span is not None:
                within.append(f"p.recorded_at >= {terms.mark(span[0])}")
                within.append(f"p.recorded_at < {terms.mark(span[1])}")
            alternatives.append(f"({' AND '.join(within)})")
    return " OR ".join(alternatives)
