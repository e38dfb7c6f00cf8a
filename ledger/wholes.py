"""Checks that are one query each: what, what is wrong with it, and (who, which) of each row."""

from __future__ import annotations

from typing import Final

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
)
"""Of customers `$1`; what they would find is also what the screening asks for."""

WHOLES: Final[tuple[Check, ...]] = (
    (
        "posting",
        "has no transaction",
        """SELECT customer_id, format('version %s, seq %s', version, seq)
           FROM ledger.postings p WHERE NOT EXISTS (SELECT FROM ledger.transactions t
             WHERE t.customer_id = p.customer_id AND t.version = p.version)""",
    ),
    (
        "balance",
        "has a version, but its customer has no transactions",
        """SELECT customer_id, '' FROM ledger.balances b
           WHERE version + available + deferred + held + debt > 0 AND NOT EXISTS (
             SELECT FROM ledger.transactions t WHERE t.customer_id = b.customer_id)""",
    ),
    (
        "lot",
        "belongs to a customer without transactions",
        """SELECT customer_id, id::text FROM ledger.lots l WHERE NOT EXISTS (
             SELECT FROM ledger.transactions t WHERE t.customer_id = l.customer_id)""",
    ),
    (
        "hold",
        "belongs to a customer without transactions",
        """SELECT customer_id, id::text FROM ledger.holds h WHERE NOT EXISTS (
             SELECT FROM ledger.transactions t WHERE t.customer_id = h.customer_id)""",
    ),
    (
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
    ),
    (
        "transfer",
        "took other points than it brought",
        """SELECT min(t.customer_id::text)::uuid, t.operation_id::text
           FROM ledger.transactions t JOIN ledger.postings p USING (customer_id, version)
           WHERE p.kind = 'transfer' GROUP BY t.operation_id
           HAVING sum(CASE p.credit WHEN 'clearing' THEN p.amount ELSE -p.amount END) <> 0""",
    ),
    (
        "source",
        "is taken more than once",
        """SELECT (array_agg(customer_id))[1], source FROM ledger.sources
           GROUP BY source HAVING count(*) > 1""",
    ),
    (
        "answer",
        "is kept more than once under its key",
        """SELECT (array_agg(customer_id))[1], key FROM ledger.idempotency_keys
           GROUP BY key HAVING count(*) > 1""",
    ),
    (
        "lot",
        "says that it is open, and has no points; or has some, and says it is not",
        """SELECT customer_id, id::text FROM ledger.lots
           WHERE open IS DISTINCT FROM (available + deferred + held > 0)""",
    ),
)
"""Of all rows together."""


async def count_orphans(connection: Connection, of_transactions: int) -> int:
    """How many postings there are beside those that were found with their transactions."""
    count: int = await connection.fetchval("SELECT count(*) FROM ledger.postings")
    return count - of_transactions
