"""Queries: whose birthday it is."""

from __future__ import annotations

from datetime import date
from typing import Final
from uuid import UUID

from sqlalchemy import text
from sqlalchemy.ext.asyncio import AsyncConnection

from billing.common.db import Database
from billing.customers.model import STORED, Customer

ADVISORY_LOCK: Final = 0x626F6E7573_08
"""One pass at a time ("bonus", 8): a second one would only find that all is given."""

_TAKE_TURN = text("SELECT pg_try_advisory_xact_lock(:lock)")

_FIELDS = ", ".join(f"c.{name}" for name in STORED)
BORN_ON: Final = f"""
SELECT {_FIELDS} FROM billing.customers c
WHERE (EXTRACT(month FROM c.birth_date) * 100 + EXTRACT(day FROM c.birth_date))::integer = $1
  AND c.birth_date IS NOT NULL AND c.status = 'verified' AND c.merged_into IS NULL
  AND c.id > $2
ORDER BY c.id LIMIT $3
"""
PAGE_TIMEOUT_S: Final = 30.0


async def take_turn(tx: AsyncConnection) -> bool:
    """Whether nobody else is at it; then it is our turn until the transaction ends."""
    return bool((await tx.execute(_TAKE_TURN, {"lock": ADVISORY_LOCK})).scalar_one())


async def born_on(database: Database, day: int, after: UUID, limit: int) -> list[Customer]:
    """Verified customers born on a day of the year (1231: New Year's Eve), by id."""
    rows = await database.fetch(BORN_ON, day, after, limit, timeout_s=PAGE_TIMEOUT_S)
    return [Customer(*row) for row in rows]


def days_of_year(day: date) -> list[int]:
    """The days of birth celebrated on `day`: on 28 February also the 29th, in most years."""
    leap = day.year % 4 == 0 and (day.year % 100 != 0 or day.year % 400 == 0)
    own = day.month * 100 + day.day
    return [own, 229] if own == 228 and not leap else [own]
