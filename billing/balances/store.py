"""Reading lots page by page, straight from the ledger's projection."""

from __future__ import annotations

from datetime import datetime
from typing import Final
from uuid import UUID

from ledger.load import read_hold, read_lot
from ledger.model import Hold, Lot
from ledger.service import Ledger
from ledger.sql import HOLD_COLUMNS, LOT_COLUMNS

LAST: Final = UUID(int=2**128 - 1)

_LOTS = f"SELECT {LOT_COLUMNS} FROM ledger.lots WHERE customer_id = $1 AND id < $2"
_ORDER = "ORDER BY id DESC LIMIT"

# What is due but not yet posted may close a lot that is still open in the table, never open one.
_KINDS: Final = {
    None: f"{_LOTS} {_ORDER} $3",
    True: f"{_LOTS} AND open {_ORDER} $3",
    False: f"{_LOTS} AND (NOT open OR expires_at <= $4) {_ORDER} $3",
}

_OVER = f"""
SELECT {HOLD_COLUMNS} FROM ledger.holds
WHERE customer_id = $1 AND status = 'open' AND expires_at <= $2
"""


async def lots_page(
    ledger: Ledger, customer_id: UUID, limit: int, before: UUID, now: datetime, open_: bool | None
) -> tuple[list[Lot], list[Hold]]:
    """Lots as they stand in the table, newest id first, below `before`; and the holds whose time
    was over by `now`, which keep some of their points."""
    query = _KINDS[open_]
    arguments = (now,) if open_ is False else ()
    async with (
        ledger.pool.acquire() as connection,
        connection.transaction(isolation="repeatable_read", readonly=True),
    ):
        lots = await connection.fetch(query, customer_id, before, limit, *arguments)
        holds = await connection.fetch(_OVER, customer_id, now)
    return [read_lot(row) for row in lots], [read_hold(row) for row in holds]
