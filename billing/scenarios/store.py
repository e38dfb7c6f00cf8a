"""Queries: what waits to be posted, and who has bought before."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from datetime import datetime
from typing import Final
from uuid import UUID, uuid5

import msgspec
from sqlalchemy import text
from sqlalchemy.dialects.postgresql import insert
from sqlalchemy.ext.asyncio import AsyncConnection

from billing.common.batch import Batcher
from billing.common.db import Database
from billing.common.wire import encode
from billing.scenarios.tables import scenario_queue

MAX_ATTEMPTS: Final = 10
"""After these, over some seventeen hours, a row waits for a person."""


class Waiting(msgspec.Struct, frozen=True):
    """An event to be posted. It happened at the channel and store in `details`."""

    id: UUID
    customer_id: UUID
    event: str
    occurred_at: datetime
    details: dict[str, str | None]


def waiting_id(customer_id: UUID, event: str) -> UUID:
    """The one row a customer can have for an event that happens once."""
    return uuid5(customer_id, event)


BY_VERIFYING: Final = ("registration", "verification")
"""Who is not verified cannot collect (B20): the registration, too, is posted then."""

COLLECTED: Final = "collected"
"""No event that programs know: points that waited for the verification become available."""


class Verified(msgspec.Struct, frozen=True, kw_only=True):
    """A customer whose phone is confirmed; channel and store are those of the registration."""

    customer_id: UUID
    channel: str | None
    store: str | None
    registered_at: datetime
    verified_at: datetime

    def waiting(self, event: str, at: datetime) -> Waiting:
        """What is to be posted for it."""
        of = self.customer_id
        details = {"channel": self.channel, "store": self.store}
        return Waiting(waiting_id(of, event), of, event, at, details)


_NOTE = text("""
INSERT INTO billing.scenario_queue (id, customer_id, event, occurred_at, details)
SELECT * FROM unnest(
    CAST(:id AS uuid[]), CAST(:customer_id AS uuid[]), CAST(:event AS text[]),
    CAST(:occurred_at AS timestamptz[]), CAST(:details AS jsonb[]))
ON CONFLICT (id) DO NOTHING
""")


async def note_verified(tx: AsyncConnection, customers: Sequence[Verified]) -> None:
    """Keep, in the transaction that verifies customers, what is to be posted after it. Who is
    verified a second time, with a new phone, gets nothing new."""
    rows = [
        one.waiting(event, at)
        for one in customers
        for event, at in zip(BY_VERIFYING, (one.registered_at, one.verified_at), strict=True)
    ]
    if rows:
        values = {
            name: [getattr(row, name) for row in rows]
            for name in ("id", "customer_id", "event", "occurred_at")
        }
        details = [encode(row.details).decode() for row in rows]
        await tx.execute(_NOTE, {**values, "details": details})


async def note_collected(tx: AsyncConnection, customer: Verified) -> None:
    """Points that were collected before the customer was verified become available, each time."""
    at = customer.verified_at
    again = {"occurred_at": at, "done_at": None, "attempts": 0, "error": None}
    row = msgspec.structs.asdict(customer.waiting(COLLECTED, at))
    upsert = insert(scenario_queue).values(row)
    await tx.execute(upsert.on_conflict_do_update(index_elements=["id"], set_=again))


_COLUMNS = [scenario_queue.c[name] for name in Waiting.__struct_fields__]
_CLAIM = text("""
SELECT q.id, q.customer_id, q.event, q.occurred_at, q.details FROM billing.scenario_queue q
WHERE q.id = ANY(:ids) AND q.done_at IS NULL
ORDER BY q.occurred_at, q.event FOR UPDATE SKIP LOCKED
""").columns(*_COLUMNS)
_CLAIM_DUE = text("""
SELECT q.id, q.customer_id, q.event, q.occurred_at, q.details FROM billing.scenario_queue q
JOIN billing.customers c ON c.id = q.customer_id AND c.status = 'verified'
WHERE q.done_at IS NULL AND q.attempts < :most
  AND (q.attempts = 0 OR now() > q.created_at + interval '1 minute' * 2 ^ q.attempts)
ORDER BY q.created_at, q.occurred_at, q.event LIMIT :limit FOR UPDATE OF q SKIP LOCKED
""").columns(*_COLUMNS)
_DONE = text("UPDATE billing.scenario_queue SET done_at = now(), error = NULL WHERE id = ANY(:ids)")
_FAILED = text("""
UPDATE billing.scenario_queue q SET attempts = attempts + 1, error = n.error
FROM unnest(CAST(:ids AS uuid[]), CAST(:errors AS text[])) AS n (id, error) WHERE q.id = n.id
""")


async def claim(tx: AsyncConnection, ids: Sequence[UUID]) -> list[Waiting]:
    """Those of `ids` that nobody else is posting; ours until the transaction ends."""
    return [Waiting(*row) for row in await tx.execute(_CLAIM, {"ids": list(ids)})]


async def claim_due(tx: AsyncConnection, limit: int) -> list[Waiting]:
    """The oldest ones of customers who may collect; after a failure, at growing distances."""
    found = await tx.execute(_CLAIM_DUE, {"limit": limit, "most": MAX_ATTEMPTS})
    return [Waiting(*row) for row in found]


async def settle(tx: AsyncConnection, done: Sequence[UUID], failed: Mapping[UUID, str]) -> None:
    """Write down what became of claimed rows."""
    if done:
        await tx.execute(_DONE, {"ids": list(done)})
    if failed:
        await tx.execute(_FAILED, {"ids": list(failed), "errors": list(failed.values())})


_BUYERS = """
SELECT c.id FROM unnest($1::uuid[]) AS c (id), LATERAL (
    SELECT FROM ledger.transactions t
    WHERE t.customer_id = c.id AND t.kind IN ('receipt', 'accrual') AND t.source LIKE 'sale/%'
      AND (
        NOT EXISTS (
            SELECT FROM billing.returns b WHERE b.customer_id = c.id AND b.receipt_id = t.id
        ) OR EXISTS (
            SELECT FROM billing.receipts r, jsonb_array_elements(r.lines) AS sold
            WHERE r.customer_id = c.id AND r.id = t.id
              AND (sold->>'quantity')::numeric > (
                SELECT coalesce(sum((back->>'quantity')::numeric), 0)
                FROM billing.returns b, jsonb_array_elements(b.lines) AS back
                WHERE b.customer_id = c.id AND b.receipt_id = t.id
                  AND back->>'line' = sold->>'line'
              )
        )
      )
    ORDER BY t.version LIMIT 1
) AS kept
"""
"""Who of them kept something of a sale. The journal is read from its beginning, where a sale
nearly always is; quantities are compared only of sales of which something came back."""


async def first_purchase(database: Database, customer_ids: Sequence[UUID]) -> dict[UUID, bool]:
    """Whether a sale of each customer would be the first: those wholly returned do not count."""
    buyers = {row["id"] for row in await database.fetch(_BUYERS, list(customer_ids))}
    return {customer_id: customer_id not in buyers for customer_id in customer_ids}


class FirstPurchases:
    """`first_purchase` for many tills through few queries."""

    def __init__(self, database: Database) -> None:
        async def load(customer_ids: list[UUID]) -> dict[UUID, bool]:
            return await first_purchase(database, customer_ids)

        self._batcher: Batcher[UUID, bool] = Batcher(load)

    async def would_be(self, customer_id: UUID) -> bool:
        """Whether a sale now would be the customer's first. Raises Overloaded."""
        return bool(await self._batcher.get(customer_id))
