"""Bookkeeping done early: activations, expiries and hold timeouts of customers that are due.

Nobody waits for it; it makes reports current and keeps the next receipt short. A customer whom it
cannot bring up to date is set aside with the error, and tried again at growing distances: one
broken row stops nobody else.
"""

from __future__ import annotations

from collections.abc import Mapping
from datetime import datetime
from uuid import UUID

import structlog
from msgspec import Struct

from ledger.errors import Unavailable
from ledger.group import Result
from ledger.service import Ledger, Pool

_log = structlog.get_logger()

FIRST_PAUSE_S = 60
LAST_PAUSE_S = 86_400
ERROR_CHARACTERS = 500

_SET_ASIDE = f"""
INSERT INTO ledger.set_aside AS s (customer_id, since, attempts, again_at, error)
SELECT customer_id, $1::timestamptz, 1, $1 + make_interval(secs => {FIRST_PAUSE_S}), error
FROM unnest($2::uuid[], $3::text[]) AS n (customer_id, error)
ON CONFLICT (customer_id) DO UPDATE SET attempts = s.attempts + 1, error = excluded.error,
    again_at = $1 + make_interval(
        secs => least({FIRST_PAUSE_S} * 2.0 ^ least(s.attempts, 30), {LAST_PAUSE_S}))
"""

_PUT_RIGHT = """
DELETE FROM ledger.set_aside s WHERE NOT EXISTS (
    SELECT FROM ledger.balances b WHERE b.customer_id = s.customer_id AND b.next_due <= $1)
"""
"""Whoever has nothing due any more was brought up to date, here or at a till."""

_STUCK = """
SELECT s.customer_id, s.since, s.attempts, s.again_at, s.error FROM ledger.set_aside s
ORDER BY s.since, s.customer_id LIMIT $1
"""


class Stuck(Struct, frozen=True):
    """A customer whom no sweep can bring up to date, since when, and why."""

    customer_id: UUID
    since: datetime
    attempts: int
    again_at: datetime
    error: str


async def post_due(ledger: Ledger, *, limit: int = 1000) -> int:
    """Bring up to `limit` due customers up to date, fewer when much has become due for each; how
    many, those that could not be included. 0: nothing is left that another sweep or a till is not
    at work on.

    Any number may run side by side, here and elsewhere. Raises Unavailable.
    """
    customers, fates = await ledger.sweep(limit)
    failed = {
        customer: fate
        for customer, fate in zip(customers, fates, strict=True)
        if not isinstance(fate, Result | Unavailable)
    }
    await _remember(ledger, failed)
    return len(customers)


async def stuck(pool: Pool, limit: int) -> list[Stuck]:
    """Those set aside, the longest first."""
    return [Stuck(*row) for row in await pool.fetch(_STUCK, limit)]


async def _remember(ledger: Ledger, failed: Mapping[UUID, Exception]) -> None:
    """Set aside those that failed, and take back those that are right again."""
    now = ledger.clock()
    async with ledger.pool.acquire() as connection, connection.transaction():
        # The pool's connections read only unless they are told otherwise.
        await connection.execute("SET TRANSACTION READ WRITE")
        await connection.execute(_PUT_RIGHT, now)
        if failed:
            errors = [repr(error)[:ERROR_CHARACTERS] for error in failed.values()]
            await connection.execute(_SET_ASIDE, now, list(failed), errors)
    for customer, error in failed.items():
        _log.error("customer_set_aside", customer=str(customer), error=repr(error))
