"""Reading the receipts of a period: first which there are, in order, then chunk by chunk."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from datetime import datetime, timedelta
from uuid import UUID

import asyncpg

from billing.common.errors import ValidationFailed
from billing.receipts.basket import AHEAD
from billing.simulations.model import Parameters
from ledger.service import Pool

MAX_RECEIPTS = 5_000_000
"""Their ids take 80 MB; a longer history is simulated in parts."""
INDEX_TIMEOUT_S = 600
FETCH = 10_000
CHUNK_TIMEOUT_S = 30

_IDS = """
SELECT id FROM billing.receipts
WHERE id >= $1 AND occurred_at >= $2 AND occurred_at < $3
  AND ($4::text IS NULL OR channel = $4) AND ($5::text IS NULL OR store = $5)
ORDER BY occurred_at, id
LIMIT $6
"""

_CHUNK = """
SELECT r.id, r.customer_id, r.channel, r.store, r.number, r.occurred_at, r.total,
       r.lines, r.payments, r.programs, r.codes, c.tags, c.created_at,
       c.channel AS registered_channel,
       c.store AS registered_store, c.birth_date, c.birth_date_since, c.verified_at,
       {first} AS first_purchase
FROM billing.receipts r LEFT JOIN billing.customers c ON c.id = r.customer_id
WHERE r.id = ANY($1::uuid[])
ORDER BY r.occurred_at, r.id
"""

_NOBODY_ASKS = "NULL::boolean"

# As the till saw it: no sale of the customer had been recorded before, wherever.
_FIRST = """NOT EXISTS (
    SELECT FROM ledger.transactions t
    JOIN ledger.transactions e ON e.customer_id = t.customer_id AND e.version < t.version
    WHERE t.id = r.id AND t.customer_id = r.customer_id AND e.source LIKE 'sale/%')"""

_READ = _CHUNK.format(first=_NOBODY_ASKS)
_READ_FIRST = _CHUNK.format(first=_FIRST)


class ReceiptIds:
    """Ids in the order in which the receipts happened, 16 bytes each."""

    def __init__(self) -> None:
        self._bytes = bytearray()

    def __len__(self) -> int:
        return len(self._bytes) // 16

    def append(self, receipt_id: UUID) -> None:
        self._bytes += receipt_id.bytes

    def chunks(self, size: int) -> Iterator[list[UUID]]:
        whole = memoryview(self._bytes)
        for start in range(0, len(whole), 16 * size):
            chunk = whole[start : start + 16 * size]
            yield [UUID(bytes=bytes(chunk[i : i + 16])) for i in range(0, len(chunk), 16)]


async def read_ids(pool: Pool, period: Parameters) -> ReceiptIds:
    """The receipts of a period. Raises ValidationFailed when they are too many.

    Ids are ordered by when a receipt was recorded, which is at most `AHEAD` before it happened,
    by the till's clock, and any time after: a till may have been offline, a history imported.
    """
    found = ReceiptIds()
    given = (
        _first_id(period.since - AHEAD), period.since, period.until,
        period.channel, period.store, MAX_RECEIPTS + 1,
    )  # fmt: skip
    async with pool.acquire() as connection, connection.transaction(readonly=True):
        cursor = await connection.cursor(_IDS, *given, timeout=INDEX_TIMEOUT_S)
        while rows := await cursor.fetch(FETCH, timeout=INDEX_TIMEOUT_S):
            for row in rows:
                found.append(row[0])
    if len(found) > MAX_RECEIPTS:
        raise ValidationFailed.at(
            "/to",
            f"there are more than {MAX_RECEIPTS} receipts in this period; "
            "name a shorter one, or a channel or store",
        )
    return found


async def read_chunk(
    pool: Pool, ids: Sequence[UUID], *, first_purchase: bool
) -> list[asyncpg.Record]:
    """Receipts with what is known of their customers now, in the order they happened."""
    query = _READ_FIRST if first_purchase else _READ
    return await pool.fetch(query, ids, timeout=CHUNK_TIMEOUT_S)


def _first_id(moment: datetime) -> UUID:
    """The smallest UUIDv7 of that millisecond."""
    epoch = datetime(1970, 1, 1, tzinfo=moment.tzinfo)
    return UUID(int=max((moment - epoch) // timedelta(milliseconds=1), 0) << 80)
