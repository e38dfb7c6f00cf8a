"""Closed months against the ledger, for audits."""

from __future__ import annotations

from typing import Any, Final
from zoneinfo import ZoneInfo

import msgspec

from billing.periods.model import Period, seal
from ledger.findings import Finding
from ledger.load import Connection
from ledger.selection import DIMENSIONS, Selection
from ledger.sums import flow_sums

_CLOSED: Final = """
SELECT DISTINCT ON (e.period) e.period, e.sealed::text AS sealed, e.digest
FROM billing.period_events e
WHERE e.kind = 'closed' AND (
    SELECT l.kind <> 'reopened' FROM billing.period_events l
    WHERE l.period = e.period ORDER BY l.at DESC, l.id DESC LIMIT 1)
ORDER BY e.period, e.at DESC, e.id DESC
"""


async def changed_months(connection: Connection) -> list[Finding]:
    """Months that are closed and come to something else than was sealed of them."""
    async with connection.transaction(isolation="repeatable_read", readonly=True):
        rows = await connection.fetch(_CLOSED)
        return [
            Finding("period", None, row["period"], "does not come to what was sealed of it")
            for row in rows
            if await _comes_to(connection, row["period"], row["sealed"]) != row["digest"]
        ]


async def _comes_to(connection: Any, name: str, sealed: str) -> str:
    zone = ZoneInfo(msgspec.json.decode(sealed)["zone"])
    period = Period.of(name, zone)
    within = Selection(since=period.starts, before=period.ends)
    flows = await flow_sums(connection, within, DIMENSIONS)
    until = await flow_sums(connection, Selection(before=period.ends))
    return seal(period, zone, flows, until).digest
