"""What a list of postings shows beside the ledger's own columns."""

from __future__ import annotations

from collections.abc import Iterable
from uuid import UUID

from ledger.service import Ledger

_IDS = """
SELECT t.customer_id, t.version, t.id
FROM unnest($1::uuid[], $2::bigint[]) AS want (customer_id, version)
JOIN ledger.transactions t ON t.customer_id = want.customer_id AND t.version = want.version
"""


async def transaction_ids(
    ledger: Ledger, entries: Iterable[tuple[UUID, int]]
) -> dict[tuple[UUID, int], UUID]:
    """The ids of transactions named by customer and version."""
    wanted = list(set(entries))
    rows = await ledger.pool.fetch(
        _IDS, [customer for customer, _ in wanted], [version for _, version in wanted]
    )
    return {(row[0], row[1]): row[2] for row in rows}
