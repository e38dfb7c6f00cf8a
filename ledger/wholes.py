"""Checks that are one query each: what, what is wrong with it, and (who, which) of each row."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final
from uuid import UUID

from ledger.findings import Finding
from ledger.load import Connection

Check = tuple[str, str, str]

OF_CUSTOMERS: Final[tuple[Check, ...]] = (
    (
        "posting",
        "has other times than its transaction",
        """SELECT p.customer_id, format('version %s, seq %s', p.version, p.seq)
           FROM ledger.postings p JOIN ledger.transactions t USING (customer_id, version)
           WHERE p.customer_id = ANY($1)
             AND (p.occurred_at, p.recorded_at) IS DISTINCT FROM (t.occurred_at, t.recorded_at)""",
    ),
    (
        "posting",
        "is missing before it",
        """SELECT customer_id, format('version %s, seq %s', version, max(seq))
           FROM ledger.postings WHERE customer_id = ANY($1)
           GROUP BY customer_id, version HAVING max(seq) <> count(*)""",
    ),
    (
        "lot",
        "says that it is open, and has no points; or has some, and says it is not",
        """SELECT customer_id, id::text FROM ledger.lots
           WHERE customer_id = ANY($1)
             AND open IS DISTINCT FROM (available::numeric + deferred + held > 0)""",
    ),
    *(
        (
            what,
            "is there more than once",
            f"""SELECT customer_id, {which} FROM ledger.{what}s WHERE customer_id = ANY($1)
                GROUP BY 1, 2 HAVING count(*) > 1""",
        )
        for what, which in (("balance", "''"), ("lot", "id::text"), ("hold", "id::text"))
    ),
)
"""Of customers `$1`; what they would find is also what the screening asks for."""

OF_STRANGERS: Final[tuple[Check, ...]] = (
    (
        "balance",
        "has a version, but its customer has no transactions",
        """SELECT customer_id, '' FROM ledger.balances
           WHERE customer_id = ANY($1)
             AND (version, available, promo, deferred, held, debt)
                 IS DISTINCT FROM (0, 0, 0, 0, 0, 0)""",
    ),
    (
        "lot",
        "belongs to a customer without transactions",
        "SELECT customer_id, id::text FROM ledger.lots WHERE customer_id = ANY($1)",
    ),
    (
        "hold",
        "belongs to a customer without transactions",
        "SELECT customer_id, id::text FROM ledger.holds WHERE customer_id = ANY($1)",
    ),
)
"""Of customers `$1`, who have no transactions."""

_POSTINGS: Final = "SELECT count(*) FROM ledger.postings"
_ORPHANS: Final[Check] = (
    "posting",
    "has no transaction",
    """SELECT customer_id, format('version %s, seq %s', version, seq)
       FROM ledger.postings p WHERE NOT EXISTS (SELECT FROM ledger.transactions t
         WHERE t.customer_id = p.customer_id AND t.version = p.version)""",
)
"""Asked for when there are more postings than were found with their transactions."""

_SOURCES_SOUND: Final = """
SELECT count(*) = (SELECT count(*) FROM ledger.sources)
       AND count(*) FILTER (WHERE t.source = s.source)
           = (SELECT count(source) FROM ledger.transactions)
FROM ledger.sources s
JOIN ledger.transactions t ON t.id = s.transaction_id AND t.customer_id = s.customer_id
"""
"""Counts that say, at less cost, that nothing is wrong with sources; those that are taken twice are
a check of their own."""
_SOURCES: Final[Check] = (
    "source",
    "is not that of its transaction",
    """SELECT t.customer_id, t.source FROM ledger.transactions t
       WHERE t.source IS NOT NULL AND NOT EXISTS (
           SELECT FROM ledger.sources s
           WHERE s.source = t.source AND s.transaction_id = t.id
             AND s.customer_id = t.customer_id)
       UNION ALL
       SELECT s.customer_id, s.source FROM ledger.sources s
       WHERE NOT EXISTS (
           SELECT FROM ledger.transactions t
           WHERE t.id = s.transaction_id AND t.customer_id = s.customer_id)""",
)

_WHOLES: Final[tuple[Check, ...]] = (
    _SOURCES,
    (
        "transaction",
        "has no customer or no version, so that it stands in no history",
        """SELECT customer_id, id::text FROM ledger.transactions
           WHERE customer_id IS NULL OR version IS NULL""",
    ),
    (
        "answer",
        "has no key",
        "SELECT customer_id, '' FROM ledger.idempotency_keys WHERE key IS NULL",
    ),
    (
        "block",
        "is of no chain, or has no number in it",
        """SELECT NULL::uuid, concat_ws(' ', chain, number) FROM ledger.seals
           WHERE (chain IN ('journal', 'answers') AND number > 0) IS NOT true""",
    ),
    (
        "transfer",
        "took other points than it brought",
        """SELECT min(t.customer_id::text)::uuid, t.operation_id::text
           FROM ledger.transactions t JOIN ledger.postings p USING (customer_id, version)
           WHERE p.kind = 'transfer' GROUP BY t.operation_id
           HAVING sum(CASE p.credit WHEN 'clearing' THEN 1 ELSE -1 END * p.amount::numeric) <> 0""",
    ),
    (
        "source",
        "is taken more than once",
        """SELECT customer_id, source FROM ledger.sources WHERE source IN (
               SELECT source FROM ledger.sources GROUP BY source HAVING count(*) > 1)""",
    ),
    (
        "answer",
        "is kept more than once under its key",
        """SELECT customer_id, key FROM ledger.idempotency_keys WHERE key IN (
               SELECT key FROM ledger.idempotency_keys GROUP BY key HAVING count(*) > 1)""",
    ),
)
"""Of all rows together."""


async def ask(
    connection: Connection, checks: Sequence[Check], ids: Sequence[UUID]
) -> list[Finding]:
    """What checks of customers find with these."""
    return [
        Finding(what, row[0], row[1], detail)
        for what, detail, query in checks
        if ids
        for row in await connection.fetch(query, ids)
    ]


async def of_all_rows(connection: Connection) -> list[Finding]:
    """What can only be seen of all rows together."""
    findings: list[Finding] = []
    for check in _WHOLES:
        if check is not _SOURCES or not await connection.fetchval(_SOURCES_SOUND):
            findings += await _look_for(connection, check)
    return findings


async def orphans(connection: Connection, seen: int) -> list[Finding]:
    """Postings without a transaction, when there are more of them than were seen."""
    if await connection.fetchval(_POSTINGS) == seen:
        return []
    return await _look_for(connection, _ORPHANS)


async def _look_for(connection: Connection, check: Check) -> list[Finding]:
    what, detail, query = check
    rows = await connection.fetch(f"{query} LIMIT 100")
    return [Finding(what, row[0], row[1], detail) for row in rows]
