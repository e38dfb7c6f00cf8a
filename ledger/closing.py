"""Closing time: nothing is recorded any more that happened before an instant.

Whoever writes reads the bound after it has locked something (`sql.KNOWN`), so whoever moved the
bound only has to wait for the transactions that had begun by then: no till waits for anybody.
"""

from __future__ import annotations

import asyncio
from datetime import UTC, datetime
from typing import Final

from ledger.service import Ledger

NEVER: Final = datetime(1970, 1, 1, tzinfo=UTC)
_LOOK_EVERY_S: Final = 0.02

_HORIZON = "SELECT ledger.horizon() + 1"
_DUE = """
SELECT count(*) FILTER (WHERE s.customer_id IS NULL) AS due,
       count(*) FILTER (WHERE s.customer_id IS NOT NULL) AS set_aside
FROM (SELECT customer_id FROM ledger.balances WHERE next_due < $1 LIMIT $2) AS b
LEFT JOIN ledger.set_aside s ON s.customer_id = b.customer_id
"""


async def writers_gone(ledger: Ledger, xid: int, timeout_s: float) -> bool:
    """Wait until every transaction has ended that may not have seen what `xid` committed.

    False when one of them takes longer than `timeout_s`.
    """
    loop = asyncio.get_running_loop()
    end = loop.time() + timeout_s
    while (await ledger.pool.fetchval(_HORIZON)) <= xid:
        if loop.time() > end:
            return False
        await asyncio.sleep(_LOOK_EVERY_S)
    return True


async def due_before(ledger: Ledger, until: datetime, at_most: int) -> tuple[int, int]:
    """Customers with something due before `until` that is not posted, counted up to `at_most`:
    those a sweep will bring up to date, and those it could not."""
    row = await ledger.pool.fetchrow(_DUE, until, at_most)
    return (0, 0) if row is None else (row["due"], row["set_aside"])
