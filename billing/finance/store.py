"""What finance reads beside the ledger's own sums and lists."""

from __future__ import annotations

from collections.abc import Iterable
from uuid import UUID

import asyncpg

from ledger.sums import Snapshot

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
