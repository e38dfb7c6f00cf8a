"""Events become deliveries: a row for each subscription that asked for the type.

One process at a time, in the order of the stream; the place in the stream is moved in the same
transaction, so each event has one delivery to a subscriber, whatever is killed.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, Final
from uuid import UUID

import msgspec
from sqlalchemy import text
from sqlalchemy.ext.asyncio import AsyncConnection

from billing.common.db import Database
from billing.events.model import Event, matches
from billing.events.stream import CHUNK, Stream
from integrations.webhooks.model import HOUSE
from ledger.group import Clock
from ledger.ids import uuid7
from ledger.service import utc_now

CONSUMER: Final = "webhooks"

_SUBSCRIBED = text("""
SELECT id, events, since FROM billing.webhook_subscriptions WHERE state IN ('active', 'paused')
""")

_DELIVER = text("""
INSERT INTO billing.webhook_deliveries
    (id, subscription_id, event_id, type, customer_id, body, created_at)
SELECT n.*, :now FROM unnest(CAST(:ids AS uuid[]), CAST(:subscriptions AS uuid[]),
    CAST(:events AS uuid[]), CAST(:types AS text[]), CAST(:customers AS uuid[]),
    CAST(:bodies AS text[])) AS n
""")

_QUEUE = text("""
INSERT INTO billing.webhook_queues AS q (subscription_id, customer_id, next_at)
SELECT DISTINCT n.subscription_id, n.customer_id, CAST(:now AS timestamptz)
FROM unnest(CAST(:subscriptions AS uuid[]), CAST(:customers AS uuid[]))
    AS n (subscription_id, customer_id)
ORDER BY 1, 2
ON CONFLICT (subscription_id, customer_id) DO UPDATE SET customer_id = excluded.customer_id
""")
"""A queue that is there keeps its turn. It is locked, so that nobody finds it empty and removes it
while its new deliveries are not yet to be seen."""


class Parcel(msgspec.Struct, frozen=True):
    """An event for a subscription."""

    subscription_id: UUID
    event_id: UUID
    type: str
    customer_id: UUID
    body: str


class Dispatcher:
    """Reads the stream of events for all subscriptions."""

    def __init__(self, database: Database, clock: Clock = utc_now, chunk: int = CHUNK) -> None:
        self._clock = clock
        self._stream = Stream(
            database, CONSUMER, wanted=_is_any, take=self._take, clock=clock, chunk=chunk
        )

    async def advance(self) -> bool:
        """Deal with the next chunk; whether there was one. Raises Overloaded, CursorAhead."""
        return await self._stream.advance()

    async def _take(self, tx: AsyncConnection, events: Sequence[Event]) -> None:
        subscribed = (await tx.execute(_SUBSCRIBED)).all()
        parcels = [
            Parcel(row.id, event.id, event.type, event.customer_id or HOUSE, event.body().decode())
            for event in events
            for row in subscribed
            if event.xid > row.since and any(matches(one, event.type) for one in row.events)
        ]
        await deliver(tx, parcels, self._clock())


async def deliver(tx: AsyncConnection, parcels: Sequence[Parcel], now: Any) -> list[UUID]:
    """Queue parcels, each customer's in this order; the ids of the deliveries."""
    if not parcels:
        return []
    ids = [uuid7() for _ in parcels]
    subscriptions = [one.subscription_id for one in parcels]
    customers = [one.customer_id for one in parcels]
    await tx.execute(
        _DELIVER,
        {
            "ids": ids,
            "subscriptions": subscriptions,
            "events": [one.event_id for one in parcels],
            "types": [one.type for one in parcels],
            "customers": customers,
            "bodies": [one.body for one in parcels],
            "now": now,
        },
    )
    await tx.execute(_QUEUE, {"subscriptions": subscriptions, "customers": customers, "now": now})
    return ids


async def _is_any(tx: AsyncConnection) -> bool:
    return (await tx.execute(_SUBSCRIBED)).first() is not None
