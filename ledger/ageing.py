"""What is owed, by when it expires: of lots as they are, or added up from postings.

A lot knows what is left of it and when that expires, and a ledger has far fewer open lots than
postings. Where points were given and spent, and what was owed at another time, only postings tell.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, Final

import asyncpg
from msgspec.structs import replace

from ledger.selection import Dimension, Selection, Terms, all_of
from ledger.sums import TIMEOUT_S, Snapshot

OF_A_LOT: Final[frozenset[Dimension]] = frozenset(("program", "program_version", "bucket"))
ACCOUNTS: Final = ("available", "deferred", "held", "debt")

_DAY: Final = "date_trunc({step}, {at} AT TIME ZONE {zone})::date AS expires"
_SOME: Final = " OR ".join(f"{one} <> 0" for one in ACCOUNTS)
_SUMS: Final = ", ".join(f"sum({one}) AS {one}" for one in ACCOUNTS)

_PIECE: Final = "date_bin('15 minutes', p.expires_at, timestamptz '2000-01-01 00:00Z')"
"""Every day of every zone begins with one: few enough to be grouped by, and cheaper than a day."""
_FLOWS: Final = """
SELECT {piece} AS at, p.debit, p.credit{names}, sum(p.amount) AS amount
FROM ledger.postings p {where} GROUP BY {groups}
"""
_LEFT: Final = """
SELECT l.expires_at AS at{names}, l.available, l.deferred, l.held, 0 AS debt
FROM ledger.lots l {where} AND l.open
UNION ALL
SELECT p.expires_at{names_of_postings}, 0, 0, 0,
       CASE p.credit WHEN 'debt' THEN p.amount ELSE -p.amount END
FROM ledger.postings p {where_of_postings} AND (p.debit = 'debt' OR p.credit = 'debt')
"""


async def owed_by_expiry(
    connection: Snapshot, selection: Selection, by: Sequence[Dimension], step: str, zone: str
) -> list[asyncpg.Record]:
    """What is owed by the `step` (day, month, quarter, year) its points expire in.

    Rows of the period's first day (None: never), the dimensions, then available, deferred, held
    and debt in 1/100 points; without those that are all zero.
    """
    terms = Terms()
    day = _DAY.format(step=terms.mark(step), at="at", zone=terms.mark(zone))
    source = (_of_lots if _lots_know(selection, by) else _of_postings)(selection, by, terms)
    names = "".join(f", {name}" for name in by)
    groups = ", ".join(str(at) for at in range(1, len(by) + 2))
    query = f"SELECT {day}{names}, {_SUMS} FROM ({source}) AS s GROUP BY {groups}"
    rows: list[Any] = await connection.fetch(
        f"SELECT * FROM ({query}) AS owed WHERE {_SOME}", *terms.values, timeout=TIMEOUT_S
    )
    return rows


def _lots_know(selection: Selection, by: Sequence[Dimension]) -> bool:
    """Whether it is asked for now, and by nothing but what a lot is."""
    others = replace(selection, customer_id=None, program=None, program_version=None, bucket=None)
    return others == Selection() and OF_A_LOT.issuperset(by)


def _of_lots(selection: Selection, by: Sequence[Dimension], terms: Terms) -> str:
    """What is left of open lots; and debts, which are no lot's."""
    return _LEFT.format(
        names="".join(f", l.{name}" for name in by),
        where=all_of([*terms.others(selection, "l"), "true"]),
        names_of_postings="".join(f", p.{name}" for name in by),
        where_of_postings=all_of([*terms.others(selection, "p"), "true"]),
    )


def _of_postings(selection: Selection, by: Sequence[Dimension], terms: Terms) -> str:
    names = "".join(f", p.{name}" for name in by)
    flows = _FLOWS.format(
        piece=_PIECE,
        names=names,
        where=all_of([*terms.times(selection, "p"), *terms.others(selection, "p")]),
        groups=", ".join(str(at) for at in range(1, len(by) + 4)),
    )
    sums = ", ".join(
        f"CASE credit WHEN '{one}' THEN amount ELSE 0 END"
        f" - CASE debit WHEN '{one}' THEN amount ELSE 0 END AS {one}"
        for one in ACCOUNTS
    )
    return f"SELECT at{''.join(f', {name}' for name in by)}, {sums} FROM ({flows}) AS flows"
