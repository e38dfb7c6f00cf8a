"""What billing adds to the ledger's own audit, by queries of one snapshot."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Sequence
from datetime import datetime
from typing import Final

import msgspec

from billing.audits.store import DIFFERENT
from billing.periods.checking import changed_months
from ledger.findings import Finding
from ledger.load import Connection


class Asked(msgspec.Struct, frozen=True):
    """When the audit began, and the commit up to which an earlier one has seen everything."""

    now: datetime
    after_commit: int


class Check(msgspec.Struct, frozen=True):
    """One query of rows (customer_id, which). `$1` is the time. A warning is not wrong, but waits
    for a person. `whole`: it looks at all there is, and is for audits that do."""

    what: str
    detail: str
    sql: str
    warning: bool = False
    whole: bool = False


ByHand = Callable[[Connection, Asked], Awaitable[list[Finding]]]
"""A check of an upper layer that is more than a query; what it finds are warnings."""

CHECKS: Final = (
    Check(
        "receipt",
        "has no transaction",
        """
SELECT r.customer_id, r.id::text FROM billing.receipts r
WHERE $1::timestamptz IS NOT NULL AND NOT EXISTS (
    SELECT FROM ledger.transactions t WHERE t.id = r.id AND t.customer_id = r.customer_id)
""",
    ),
    Check("rollup", "is not the sum of its postings", DIFFERENT, whole=True),
    Check(
        "hold",
        "is over for more than an hour, and nobody has closed it",
        """
SELECT customer_id, id::text FROM ledger.holds
WHERE status = 'open' AND expires_at < $1::timestamptz - interval '1 hour'
""",
        warning=True,
    ),
    Check(
        "customer",
        "is due for more than an hour, and nobody has brought it up to date",
        """
SELECT customer_id, next_due::text FROM ledger.balances
WHERE next_due < $1::timestamptz - interval '1 hour'
""",
        warning=True,
    ),
    Check(
        "event",
        "was not accepted by its receiver, and waits for a person",
        """
SELECT nullif(customer_id, '00000000-0000-0000-0000-000000000000'), event_id::text
FROM billing.webhook_deliveries WHERE state = 'dead' AND $1::timestamptz IS NOT NULL
""",
        warning=True,
    ),
    Check(
        "event",
        "waits to be delivered for more than a day",
        """
SELECT nullif(customer_id, '00000000-0000-0000-0000-000000000000'), event_id::text
FROM billing.webhook_deliveries
WHERE state = 'pending' AND created_at < $1::timestamptz - interval '1 day'
""",
        warning=True,
    ),
)


async def run_checks(
    connection: Connection, asked: Asked, by_hand: Sequence[ByHand]
) -> tuple[list[Finding], list[Finding]]:
    """What is wrong, and what is only late: at most 100 rows of each."""
    wrong: list[Finding] = []
    late: list[Finding] = []
    whole = asked.after_commit < 0
    for check in CHECKS:
        if check.whole and not whole:
            continue
        rows = await connection.fetch(f"{check.sql} LIMIT 100", asked.now)
        found = [Finding(check.what, row[0], row[1], check.detail) for row in rows]
        (late if check.warning else wrong).extend(found)
    if whole:
        wrong += await changed_months(connection)
    for ask in by_hand:
        late += await ask(connection, asked)
    return wrong, late
