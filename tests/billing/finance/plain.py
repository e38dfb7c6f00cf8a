"""Reports by plain SQL over raw postings: what the service's own must come to.

Written from the definitions, with nothing of the code under test: not its filters, not its sums.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from tests.billing.balances.house import House

OWED = "('available', 'deferred', 'held', 'debt')"
GROUPS = "(VALUES ('moscow-1', 'moscow'), ('moscow-2', 'region'))"
TREE = {"food": ("food", "dairy", "bread"), "dairy": ("dairy",)}

_BASE = f"""
WITH posting AS (
    SELECT p.*, s.name AS store_group
    FROM ledger.postings p LEFT JOIN {GROUPS} AS s (code, name) ON s.code = p.store
)
"""


def condition(query: dict[str, Any], *, opening: bool = False) -> tuple[str, list[Any]]:
    """The filter of a query as SQL; of what lies before its period when `opening`."""
    terms, values = ["true"], []

    def add(term: str, value: Any) -> None:
        values.append(value)
        terms.append(term.format(f"${len(values)}"))

    time = query.get("time", "occurred_at")
    if opening:
        add(f"{time} < {{}}", query["from_"])
    else:
        for name, operator in (("from_", ">="), ("to", "<"), ("as_of", "<=")):
            if query.get(name) is not None:
                add(f"{time} {operator} {{}}", query[name])
    if query.get("known_at") is not None:
        add("recorded_at <= {}", query["known_at"])
    if query.get("product_tree") is not None:
        add("product_group = ANY({})", list(TREE[query["product_tree"]]))
    for name in ("channel", "store", "store_group", "product_group", "program", "bucket"):
        if query.get(name) == "":
            terms.append(f"{name} IS NULL")
        elif query.get(name) is not None:
            add(f"{name} = {{}}", query[name])
    if query.get("customer_id") is not None:
        add("customer_id = {}", query["customer_id"])
    return " AND ".join(terms), values


async def trial_balance(house: House, query: dict[str, Any], by: Sequence[str]) -> dict[Any, Any]:
    """(account, dimensions) → (debit, credit)."""
    clause, values = condition(query)
    names = "".join(f", {name}" for name in by)
    rows = await house.ledger.pool.fetch(
        f"""{_BASE}
        SELECT account{names}, sum(d)::bigint, sum(c)::bigint FROM (
            SELECT debit AS account{names}, amount AS d, 0 AS c FROM posting WHERE {clause}
            UNION ALL
            SELECT credit{names}, 0, amount FROM posting WHERE {clause}) AS sides
        GROUP BY account{names}""",
        *values,
    )
    return {tuple(row[: 1 + len(by)]): tuple(row[1 + len(by) :]) for row in rows}


_MOVED = """
    sum(CASE WHEN debit = 'issued' THEN amount WHEN credit = 'issued' THEN -amount
        ELSE 0 END)::bigint AS accrued,
    sum(CASE WHEN kind = 'activate' THEN amount ELSE 0 END)::bigint AS activated,
    sum(CASE WHEN credit = 'redeemed' THEN amount WHEN debit = 'redeemed' THEN -amount
        ELSE 0 END)::bigint AS redeemed,
    sum(CASE WHEN credit = 'expired' THEN amount ELSE 0 END)::bigint AS expired,
    sum(CASE WHEN debit = 'adjustment' THEN amount WHEN credit = 'adjustment' THEN -amount
        ELSE 0 END)::bigint AS adjusted,
    sum(CASE WHEN debit = 'clearing' THEN amount WHEN credit = 'clearing' THEN -amount
        ELSE 0 END)::bigint AS transferred
"""
_OWED_SUM = f"""
    sum(CASE WHEN credit IN {OWED} THEN amount ELSE 0 END
        - CASE WHEN debit IN {OWED} THEN amount ELSE 0 END)::bigint
"""


async def liability(house: House, query: dict[str, Any], by: Sequence[str]) -> dict[Any, Any]:
    """dimensions → (opening, accrued … transferred, closing)."""
    names = "".join(f"{name}, " for name in by)
    group = f"GROUP BY {', '.join(by) or '()'} HAVING count(*) > 0"
    found: dict[Any, list[int]] = {}
    if query.get("from_") is not None:
        clause, values = condition(query, opening=True)
        for *key, owed in await house.ledger.pool.fetch(
            f"{_BASE} SELECT {names}{_OWED_SUM} FROM posting WHERE {clause} {group}",
            *values,
        ):
            found.setdefault(tuple(key), [0] * 7)[0] = owed
    clause, values = condition(query)
    for *key, a, b, c, d, e, f in await house.ledger.pool.fetch(
        f"{_BASE} SELECT {names}{_MOVED} FROM posting WHERE {clause} {group}", *values
    ):
        found.setdefault(tuple(key), [0] * 7)[1:] = [a, b, c, d, e, f]
    return {
        key: (o, a, b, c, d, e, f, o + a - c - d + e + f)
        for key, (o, a, b, c, d, e, f) in found.items()
    }


def without_links(row: dict[str, Any]) -> dict[str, Any]:
    """A row of a report, or its totals, without the lists it leads to."""
    return {name: value for name, value in row.items() if not name.endswith("postings")}


async def ageing(house: House, query: dict[str, Any], by: Sequence[str]) -> dict[Any, int]:
    """(month of expiry, dimensions) → what is owed; nothing that comes to nothing."""
    clause, values = condition(query)
    names = "".join(f", {name}" for name in by)
    rows = await house.ledger.pool.fetch(
        f"""{_BASE}
        SELECT date_trunc('month', expires_at AT TIME ZONE 'Europe/Moscow')::date AS month{names},
               {_OWED_SUM} FROM posting WHERE {clause} GROUP BY month{names}""",
        *values,
    )
    return {
        (row[0].isoformat() if row[0] else None, *row[1:-1]): row[-1] for row in rows if row[-1]
    }
