"""Bookkeeping done early: activations, expiries and hold timeouts of customers that are due.

Nobody waits for it; it makes reports current and keeps the next receipt short.
"""

from __future__ import annotations

from ledger.commands import Command
from ledger.service import Ledger

_DUE = """
SELECT customer_id FROM ledger.balances
WHERE next_due <= $1 ORDER BY next_due LIMIT $2
"""


async def post_due(ledger: Ledger, *, limit: int = 1000) -> int:
    """Bring up to `limit` due customers up to date; how many there were.

    Any number may run side by side: a customer already brought up to date has nothing due.
    Raises the first error of a customer after all the others have been worked on.
    """
    now = ledger.clock()
    rows = await ledger.pool.fetch(_DUE, now, limit)
    commands = [
        Command(customer_id=row[0], kind="activation", occurred_at=now, sweep=True) for row in rows
    ]
    if not commands:
        return 0
    fates = await ledger.execute_many(commands)
    for fate in fates:
        if isinstance(fate, BaseException):
            raise fate
    return len(commands)
