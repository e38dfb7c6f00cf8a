"""Daily sums of postings, kept up by commit order: what reports read instead of millions of rows.

A cell is a day on which things happened and a day on which they were recorded, in one time zone,
by all dimensions, and knows where in the journal it lies. `rollup_state` says how far they go:
every posting of a transaction below its `xid` is in them, none above. What lies above is read as it
is, so a report never waits for them.
"""

from __future__ import annotations

from typing import Any, Final
from zoneinfo import ZoneInfo

import structlog

from ledger.service import Ledger

CHUNK: Final = 20_000
"""Transactions summed up at a time."""
TIMEOUT_S: Final = 900.0

CELL: Final = "kind, debit, credit, channel, store, product_group, program, program_version, bucket"

_LEAD = "SELECT xid, zone, placed_xid FROM ledger.rollup_state FOR UPDATE SKIP LOCKED"
_HORIZON = "SELECT ledger.horizon() + 1"
_UNTIL = """
SELECT xid FROM ledger.transactions WHERE xid >= $1 AND xid < $2 ORDER BY xid OFFSET $3 LIMIT 1
"""
_MOVE = """
UPDATE ledger.rollup_state
SET xid = $1, zone = $2, placed_xid = $1, moved_at = clock_timestamp()
"""
_ADD = f"""
INSERT INTO ledger.rollups AS r
    (occurred_day, recorded_day, {CELL}, amount, count, first_xid, last_xid)
SELECT (p.occurred_at AT TIME ZONE $3)::date, (p.recorded_at AT TIME ZONE $3)::date,
       {", ".join(f"p.{name}" for name in CELL.split(", "))}, sum(p.amount), count(*),
       min(t.xid), max(t.xid)
FROM ledger.transactions t
JOIN ledger.postings p ON p.customer_id = t.customer_id AND p.version = t.version
WHERE t.xid >= $1 AND t.xid < $2
GROUP BY {", ".join(str(at) for at in range(1, 12))} ORDER BY 1, 2
ON CONFLICT (occurred_day, recorded_day, {CELL}) DO UPDATE
SET amount = r.amount + excluded.amount, count = r.count + excluded.count,
    first_xid = LEAST(r.first_xid, excluded.first_xid),
    last_xid = GREATEST(r.last_xid, excluded.last_xid)
"""

_log = structlog.get_logger()


async def roll_up(ledger: Ledger, zone: ZoneInfo, *, chunk: int = CHUNK) -> int:
    """Add the next transactions to the sums; how many postings. Zero: nothing is left to add.

    Any number may call it side by side: one adds, for the others there is nothing. With another
    `zone` than before it begins anew, and so where somebody added without saying where it lies.
    """
    async with ledger.pool.acquire() as connection, connection.transaction():
        # The pool's connections read only unless they are told otherwise.
        await connection.execute("SET TRANSACTION READ WRITE")
        state = await connection.fetchrow(_LEAD)
        if state is None:
            return 0
        since = state["xid"]
        placed = state["placed_xid"] == since
        if state["zone"] != zone.key or not placed:
            await connection.execute("DELETE FROM ledger.rollups", timeout=TIMEOUT_S)
            since = 0
        return await _add(connection, since, zone.key, chunk)


async def _add(connection: Any, since: int, zone: str, chunk: int) -> int:
    horizon = await connection.fetchval(_HORIZON)
    if since > horizon:
        _log.error("rollups_ahead", xid=since, horizon=horizon)
        return 0
    until = await connection.fetchval(_UNTIL, since, horizon, chunk)
    # A single transaction may have written more than a chunk.
    until = horizon if until is None else max(until, since + 1)
    tag = await connection.execute(_ADD, since, until, zone, timeout=TIMEOUT_S)
    await connection.execute(_MOVE, until, zone)
    if tag == "INSERT 0 0" and until < horizon:
        return await _add(connection, until, zone, chunk)
    return int(tag.rsplit(" ", 1)[1])
