"""What finance reads beside the ledger's own sums and lists."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Any
from uuid import UUID

import asyncpg

from ledger.flows import CUSTOMER_ACCOUNTS
from ledger.selection import Dimension, Selection, Terms, all_of
from ledger.sums import TIMEOUT_S, Snapshot

_HEADS = """
SELECT t.customer_id, t.version, t.id, t.kind, t.source, t.author, t.reason
FROM unnest($1::uuid[], $2::bigint[]) AS want (customer_id, version)
JOIN ledger.transactions t ON t.customer_id = want.customer_id AND t.version = want.version
"""


async def heads(
    connection: Snapshot, entries: Iterable[tuple[UUID, int]]
) -> dict[tuple[UUID, int], asyncpg.Record]:
    """Id, kind, source, author and reason of transactions named by customer and version."""
    wanted = list(dict.fromkeys(entries))
    rows = await connection.fetch(
        _HEADS, [customer for customer, _ in wanted], [version for _, version in wanted]
    )
    return {(row[0], row[1]): row for row in rows}


async def owed_by_expiry(
    connection: Snapshot, selection: Selection, by: Sequence[Dimension], step: str, zone: str
) -> list[asyncpg.Record]:
    """What is owed by the `step` (day, month, quarter, year) its points expire in.

    Rows of the period's first day (None: never), the dimensions, then available, deferred, held
    and debt in 1/100 points; without those that are all zero.
    """
    terms = Terms()
    conditions = [*terms.times(selection, "p"), *terms.others(selection, "p")]
    conditions.append(
        "(p.debit = ANY({0}) OR p.credit = ANY({0}))".format(
            f"{terms.mark(sorted(CUSTOMER_ACCOUNTS))}::text[]"
        )
    )
    accounts = ("available", "deferred", "held", "debt")
    sums = ", ".join(
        f"sum(CASE WHEN p.credit = '{one}' THEN p.amount ELSE 0 END"
        f" - CASE WHEN p.debit = '{one}' THEN p.amount ELSE 0 END) AS {one}"
        for one in accounts
    )
    names = "".join(f", p.{name}" for name in by)
    period = f"date_trunc({terms.mark(step)}, p.expires_at AT TIME ZONE {terms.mark(zone)})::date"
    query = (
        f"SELECT {period} AS expires{names}, {sums} FROM ledger.postings p {all_of(conditions)}"
        f" GROUP BY {', '.join(str(at) for at in range(1, len(by) + 2))}"
    )
    some = " OR ".join(f"{one} <> 0" for one in accounts)
    rows: list[Any] = await connection.fetch(
        f"SELECT * FROM ({query}) AS owed WHERE {some}", *terms.values, timeout=TIMEOUT_S
    )
    return rows
