"""Sums over postings: the trial balance, and the list of postings it drills down to.

One WHERE clause serves both, so that a list and its total cannot disagree.
"""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime
from typing import Any, Final, Literal, get_args
from uuid import UUID

import asyncpg
from msgspec import Struct

from ledger.flows import ACCOUNTS, Account
from ledger.seals import era
from ledger.service import Ledger
from ledger.sql import POSTING_COLUMNS

Dimension = Literal["channel", "store", "product_group", "program", "bucket"]
DIMENSIONS: Final[tuple[Dimension, ...]] = get_args(Dimension)


class Selection(Struct, frozen=True, kw_only=True):
    """Which postings: `since` and `as_of` bound `occurred_at`, `known_at` is the upper bound of
    `recorded_at`, all inclusive; None does not restrict."""

    since: datetime | None = None
    as_of: datetime | None = None
    known_at: datetime | None = None
    account: Account | None = None
    customer_id: UUID | None = None
    channel: str | None = None
    store: str | None = None
    product_group: str | None = None
    program: str | None = None
    bucket: str | None = None


class AccountTotal(Struct, frozen=True):
    """What left an account (`debit`) and what arrived (`credit`), in 1/100 points."""

    account: Account
    dimensions: tuple[str | None, ...]
    debit: int
    credit: int


_ARGUMENTS = (
    ("since", "p.occurred_at >= {}"),
    ("as_of", "p.occurred_at <= {}"),
    ("known_at", "p.recorded_at <= {}"),
    ("account", "(p.debit = {0} OR p.credit = {0})"),
    ("customer_id", "p.customer_id = {}"),
    ("channel", "p.channel = {}"),
    ("store", "p.store = {}"),
    ("product_group", "p.product_group = {}"),
    ("program", "p.program = {}"),
    ("bucket", "p.bucket = {}"),
)


def where(selection: Selection) -> tuple[str, list[Any]]:
    """A WHERE clause over `ledger.postings p`, and its arguments."""
    terms: list[str] = []
    values: list[Any] = []
    for name, term in _ARGUMENTS:
        value = getattr(selection, name)
        if value is not None:
            values.append(value)
            terms.append(term.format(f"${len(values)}"))
    return (f"WHERE {' AND '.join(terms)}" if terms else ""), values


async def trial_balance(
    ledger: Ledger, selection: Selection, by: Sequence[Dimension] = ()
) -> list[AccountTotal]:
    """Debits and credits of every account, by dimensions; both columns have the same sum.

    Only what is posted counts: a sweep posts what is due shortly after it is.
    """
    dimensions = "".join(f", p.{name}" for name in by)
    clause, values = where(selection)
    rows = await ledger.report_pool.fetch(
        f"SELECT p.debit, p.credit, sum(p.amount)::bigint{dimensions}"
        f" FROM ledger.postings p {clause} GROUP BY p.debit, p.credit{dimensions}",
        *values,
        timeout=120,
    )
    sums: dict[tuple[Account, tuple[str | None, ...]], list[int]] = {}
    for debit, credit, amount, *names in rows:
        key = tuple(names)
        sums.setdefault((debit, key), [0, 0])[0] += amount
        sums.setdefault((credit, key), [0, 0])[1] += amount
    totals = [
        AccountTotal(account, key, debit, credit)
        for (account, key), (debit, credit) in sums.items()
        if selection.account in (None, account)
    ]
    return sorted(
        totals,
        key=lambda t: ([(n is None, n or "") for n in t.dimensions], ACCOUNTS.index(t.account)),
    )


PostingKey = tuple[int, UUID, int, int]
"""Where a posting stands in the list: (xid of what wrote it, customer, version, seq)."""

_POSTINGS = f"""
SELECT t.id, t.xid, p.customer_id, p.version, p.seq, p.occurred_at, p.recorded_at, {POSTING_COLUMNS}
FROM ledger.postings p
JOIN ledger.transactions t ON t.customer_id = p.customer_id AND t.version = p.version
"""

_SETTLED = f"(t.xid + 0 <= (SELECT ledger.horizon()) OR t.xid + 0 >= ({era.NEXT}))"
"""Written when nothing older was under way any more, or in a server before a restore. `+ 0`: the
index is for the order, not for these two bounds."""


_PERIOD = """
WITH period AS MATERIALIZED (
    SELECT min(xid + 0) AS first, max(xid + 0) AS last FROM ledger.transactions
    WHERE occurred_at >= {} AND occurred_at <= {})
"""
"""Where in the journal a period lies: the planner would look for its first row from the journal's
beginning, and for its last one until the end."""
_WITHIN = "t.xid BETWEEN (SELECT first FROM period) AND (SELECT last FROM period)"


async def list_postings(
    ledger: Ledger, selection: Selection, limit: int, after: PostingKey | None = None
) -> list[asyncpg.Record]:
    """Postings in the order they were written; rows of the transaction's id, `PostingKey`, times
    and `POSTING_COLUMNS`.

    What might still be preceded by something that commits late is not listed yet: a page that
    goes on after another misses nothing.
    """
    clause, values = where(selection)
    terms = [clause.removeprefix("WHERE ")] if clause else []
    terms.append(_SETTLED)
    period = ""
    if selection.since is not None and selection.customer_id is None:
        period = _PERIOD.format("$1", "$2" if selection.as_of is not None else "'infinity'")
        terms.append(_WITHIN)
    if after is not None:
        values += after
        first = len(values) - 3
        marks = ", ".join(f"${first + i}" for i in range(4))
        terms.append(f"t.xid >= ${first}")
        terms.append(f"(t.xid, t.customer_id, t.version, p.seq) > ({marks})")
    return await ledger.report_pool.fetch(
        f"{period}{_POSTINGS} WHERE {' AND '.join(terms)}"
        f" ORDER BY t.xid, t.customer_id, t.version, p.seq LIMIT {limit:d}",
        *values,
        timeout=120,
    )
