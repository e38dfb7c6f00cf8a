"""Queries: subscriptions and deliveries as people see them."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime, timedelta
from typing import Any, Final, get_args
from uuid import UUID

from sqlalchemy import func, select, text, update
from sqlalchemy.ext.asyncio import AsyncConnection

from billing.common.db import Database
from integrations.webhooks.model import Attempt, Delivery, DeliveryState, Subscription
from integrations.webhooks.tables import webhook_subscriptions as subscriptions

ADVISORY_LOCK: Final = 0x626F6E7573_10
"""New subscriptions come one after another ("bonus", 16): their number is bounded."""

KEPT_DELIVERED: Final = timedelta(days=30)
KEPT_DEAD: Final = timedelta(days=365)
LONGEST_PAUSE: Final = timedelta(days=30)
PRUNED_AT_ONCE: Final = 1000
SHOWN_ATTEMPTS: Final = 50
TIMEOUT_S: Final = 30.0

_SHOWN = [subscriptions.c[name] for name in Subscription.__struct_fields__]

_DELIVERY = """
SELECT position, id, subscription_id, event_id, type, customer_id, state, attempts, created_at,
       finished_at
FROM billing.webhook_deliveries
"""

PAGE: Final = {
    (state, of_one): f"""{_DELIVERY}
WHERE position < $1 {f"AND state = '{state}'" if state else ""}
  {"AND subscription_id = $3" if of_one else ""}
ORDER BY position DESC LIMIT $2
"""
    for state in (None, *get_args(DeliveryState))
    for of_one in (False, True)
}
"""The newest deliveries in a state, or in any; of all subscriptions, or of one."""

_ONE = f"{_DELIVERY} WHERE id = $1"

_BODY = "SELECT body FROM billing.webhook_deliveries WHERE id = $1"

_HISTORY = """
SELECT at, duration_ms, status, error, answer FROM billing.delivery_attempts
WHERE delivery_id = $1 ORDER BY at DESC, id DESC LIMIT $2
"""

_REPLAY = text("""
WITH again AS (
    UPDATE billing.webhook_deliveries d
    SET state = 'pending', attempts = 0, finished_at = NULL
    FROM billing.webhook_subscriptions s
    WHERE d.id = ANY(:ids) AND d.state <> 'pending'
      AND s.id = d.subscription_id AND s.state <> 'deleted'
    RETURNING d.id, d.subscription_id, d.customer_id
), queued AS (
    INSERT INTO billing.webhook_queues (subscription_id, customer_id, next_at)
    SELECT DISTINCT subscription_id, customer_id, CAST(:now AS timestamptz) FROM again
    ORDER BY 1, 2
    ON CONFLICT (subscription_id, customer_id) DO UPDATE
    SET next_at = least(billing.webhook_queues.next_at, excluded.next_at)
)
SELECT id FROM again
""")

DEAD = """
SELECT d.id FROM billing.webhook_deliveries d
JOIN billing.webhook_subscriptions s ON s.id = d.subscription_id AND s.state <> 'deleted'
WHERE d.state = 'dead' AND d.position > $1 ORDER BY d.position LIMIT $2
"""

_PRUNE = text("""
DELETE FROM billing.webhook_deliveries WHERE position IN (
    SELECT position FROM billing.webhook_deliveries
    WHERE finished_at < :delivered AND (state = 'delivered' OR finished_at < :dead)
    ORDER BY finished_at LIMIT :limit)
""")

_PRUNE_DELETED = (
    text("""
DELETE FROM billing.webhook_deliveries WHERE position IN (
    SELECT d.position FROM billing.webhook_subscriptions s
    JOIN billing.webhook_deliveries d ON d.subscription_id = s.id
    WHERE s.state = 'deleted' LIMIT :limit)
"""),
    text("""
DELETE FROM billing.webhook_queues q WHERE NOT EXISTS (
    SELECT FROM billing.webhook_deliveries d WHERE d.subscription_id = q.subscription_id)
  AND q.subscription_id IN (SELECT id FROM billing.webhook_subscriptions WHERE state = 'deleted')
"""),
    text("""
DELETE FROM billing.webhook_subscriptions s WHERE s.state = 'deleted' AND s.updated_at < :long_ago
  AND NOT EXISTS (SELECT FROM billing.webhook_deliveries d WHERE d.subscription_id = s.id)
  AND NOT EXISTS (SELECT FROM billing.webhook_queues q WHERE q.subscription_id = s.id)
"""),
)

_END_PAUSES = text("""
UPDATE billing.webhook_subscriptions SET state = 'disabled', updated_at = :now,
    disabled_because = 'it was paused for more than 30 days'
WHERE state = 'paused' AND updated_at < :long_ago
""")


async def count(tx: AsyncConnection) -> int:
    """How many there are; nobody makes another one before this transaction ends."""
    await tx.execute(text("SELECT pg_advisory_xact_lock(:lock)"), {"lock": ADVISORY_LOCK})
    alive = select(func.count()).where(subscriptions.c.state != "deleted")
    found: int = (await tx.execute(alive)).scalar_one()
    return found


async def insert(tx: AsyncConnection, values: dict[str, Any]) -> None:
    await tx.execute(subscriptions.insert().values(**values))


async def change(tx: AsyncConnection, subscription_id: UUID, values: dict[str, Any]) -> None:
    where = subscriptions.c.id == subscription_id
    await tx.execute(update(subscriptions).where(where).values(**values))


async def read(tx: AsyncConnection, subscription_id: UUID) -> Subscription | None:
    """The subscription, locked; None also when it was deleted."""
    query = select(*_SHOWN).where(
        subscriptions.c.id == subscription_id, subscriptions.c.state != "deleted"
    )
    row = (await tx.execute(query.with_for_update(key_share=True))).one_or_none()
    return None if row is None else Subscription(**row._mapping)


async def secret_of(tx: AsyncConnection, subscription_id: UUID) -> bytes:
    query = select(subscriptions.c.secret).where(subscriptions.c.id == subscription_id)
    found: bytes = (await tx.execute(query)).scalar_one()
    return found


async def page(tx: AsyncConnection, after: UUID, limit: int) -> list[Subscription]:
    query = (
        select(*_SHOWN)
        .where(subscriptions.c.id > after, subscriptions.c.state != "deleted")
        .order_by(subscriptions.c.id)
        .limit(limit)
    )
    return [Subscription(**row._mapping) for row in await tx.execute(query)]


async def deliveries(
    database: Database,
    before: int,
    limit: int,
    state: DeliveryState | None,
    subscription_id: UUID | None,
) -> list[Delivery]:
    """Newest first."""
    query = PAGE[state, subscription_id is not None]
    of = () if subscription_id is None else (subscription_id,)
    rows = await database.fetch(query, before, limit, *of)
    return [Delivery(**dict(row)) for row in rows]


async def delivery(database: Database, delivery_id: UUID) -> Delivery | None:
    rows = await database.fetch(_ONE, delivery_id)
    return Delivery(**dict(rows[0])) if rows else None


async def history(database: Database, delivery_id: UUID) -> tuple[str, list[Attempt]]:
    """What was sent, and the newest attempts."""
    (body,) = await database.fetch(_BODY, delivery_id)
    rows = await database.fetch(_HISTORY, delivery_id, SHOWN_ATTEMPTS)
    return body[0], [Attempt(**dict(row)) for row in rows]


async def replay(tx: AsyncConnection, ids: Sequence[UUID], now: datetime) -> list[UUID]:
    """Send finished deliveries once more, from the first attempt on; those that will be."""
    return list((await tx.execute(_REPLAY, {"ids": list(ids), "now": now})).scalars())


async def dead(database: Database, limit: int) -> list[UUID]:
    """The oldest dead deliveries."""
    return [row[0] for row in await database.fetch(DEAD, 0, limit, timeout_s=TIMEOUT_S)]


async def prune(database: Database, now: datetime) -> None:
    """Forget what is long over, a bounded part at a time, and end pauses nobody ended."""
    long_ago = now - LONGEST_PAUSE
    async with database.transaction(timeout_s=TIMEOUT_S) as tx:
        await tx.execute(
            _PRUNE,
            {
                "delivered": now - KEPT_DELIVERED,
                "dead": now - KEPT_DEAD,
                "limit": PRUNED_AT_ONCE,
            },
        )
        for statement in _PRUNE_DELETED:
            values = {"limit": PRUNED_AT_ONCE, "long_ago": long_ago}
            named = {name: values[name] for name in statement.compile().params}
            await tx.execute(statement, named)
        await tx.execute(_END_PAUSES, {"now": now, "long_ago": long_ago})
