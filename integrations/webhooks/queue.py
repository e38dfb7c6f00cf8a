"""Claiming what is due, and writing down what became of it.

A queue is a customer at a subscription: only the first of its deliveries is ever on its way, so
order is kept whatever fails. A claim is a lease, not a transaction: sending takes seconds, and a
sender that dies gives back what it had when the lease runs out. Leases run by the database's
clock, turns by the service's.
"""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime, timedelta
from typing import Final
from uuid import UUID

import msgspec
from sqlalchemy import text
from sqlalchemy.ext.asyncio import AsyncConnection

from billing.common.db import Database
from integrations.webhooks.model import (
    FAILURES_TO_PROBE,
    GONE,
    IN_FLIGHT,
    Reply,
    Verdict,
    probing,
)
from ledger.ids import uuid7

LEASE_S: Final = 60
"""Four times what an attempt may take."""

DUE = """
SELECT s.id FROM billing.webhook_subscriptions s, LATERAL (
    SELECT FROM billing.webhook_queues q WHERE q.subscription_id = s.id AND q.next_at <= $1
      AND (q.leased_until IS NULL OR q.leased_until < clock_timestamp())
    ORDER BY q.next_at LIMIT 1) AS turn
WHERE s.state = 'active' AND (s.not_before IS NULL OR s.not_before <= $1)
"""
"""Not EXISTS: without an order, all queues would be read when none is due."""

_LOCK = text("""
SELECT id, url, state, failures, failing_since, not_before, secret, previous_secret,
       previous_until
FROM billing.webhook_subscriptions WHERE id = :id FOR NO KEY UPDATE
""")

ON_THEIR_WAY = text("""
SELECT count(*) FROM billing.webhook_queues
WHERE subscription_id = :id AND lease IS NOT NULL AND leased_until > clock_timestamp()
""")

CLAIM = text("""
WITH turn AS (
    SELECT customer_id FROM billing.webhook_queues
    WHERE subscription_id = :id AND next_at <= :now
      AND (leased_until IS NULL OR leased_until < clock_timestamp())
    ORDER BY next_at LIMIT :limit FOR UPDATE SKIP LOCKED
), taken AS (
    UPDATE billing.webhook_queues q
    SET lease = :lease, leased_until = clock_timestamp() + make_interval(secs => :lease_s)
    FROM turn WHERE q.subscription_id = :id AND q.customer_id = turn.customer_id
    RETURNING q.customer_id
)
SELECT d.id, d.customer_id, d.event_id, d.type, d.body, d.attempts
FROM taken, LATERAL (
    SELECT * FROM billing.webhook_deliveries d
    WHERE d.subscription_id = :id AND d.customer_id = taken.customer_id AND d.state = 'pending'
    ORDER BY d.position LIMIT 1) AS d
""")

_HELD = text("""
SELECT customer_id, lease FROM billing.webhook_queues
WHERE subscription_id = :id AND lease = ANY(:leases) ORDER BY customer_id FOR UPDATE
""")

_ATTEMPTS = text("""
INSERT INTO billing.delivery_attempts (id, delivery_id, at, duration_ms, status, error, answer)
SELECT n.* FROM unnest(CAST(:ids AS uuid[]), CAST(:deliveries AS uuid[]),
    CAST(:at AS timestamptz[]), CAST(:took AS int[]), CAST(:status AS int[]),
    CAST(:errors AS text[]), CAST(:answers AS text[]))
    AS n (id, delivery_id, at, duration_ms, status, error, answer)
WHERE EXISTS (SELECT FROM billing.webhook_deliveries d WHERE d.id = n.delivery_id)
""")

_OUTCOMES = text("""
UPDATE billing.webhook_deliveries d
SET state = n.state, attempts = d.attempts + 1,
    finished_at = CASE WHEN n.state = 'pending' THEN NULL ELSE CAST(:now AS timestamptz) END
FROM unnest(CAST(:ids AS uuid[]), CAST(:states AS text[])) AS n (id, state)
WHERE d.id = n.id AND d.state = 'pending'
""")

_AGAIN = text("""
UPDATE billing.webhook_queues q SET lease = NULL, leased_until = NULL, next_at = n.next_at
FROM unnest(CAST(:customers AS uuid[]), CAST(:next AS timestamptz[])) AS n (customer_id, next_at)
WHERE q.subscription_id = :id AND q.customer_id = n.customer_id
""")

_EMPTY = text("""
DELETE FROM billing.webhook_queues q
WHERE q.subscription_id = :id AND q.customer_id = ANY(:customers) AND NOT EXISTS (
    SELECT FROM billing.webhook_deliveries d
    WHERE d.subscription_id = :id AND d.customer_id = q.customer_id AND d.state = 'pending')
""")

_HEALTH = text("""
UPDATE billing.webhook_subscriptions
SET failures = :failures, failing_since = :failing_since, not_before = :not_before,
    state = CASE WHEN state = 'active' AND CAST(:because AS text) IS NOT NULL THEN 'disabled'
                 ELSE state END,
    disabled_because = CASE WHEN state = 'active' THEN CAST(:because AS text)
                            ELSE disabled_because END
WHERE id = :id
""")


class Target(msgspec.Struct, frozen=True, kw_only=True):
    """A subscription as the deliverer sees it, locked."""

    id: UUID
    url: str
    state: str
    failures: int
    failing_since: datetime | None
    not_before: datetime | None
    secret: bytes
    previous_secret: bytes | None
    previous_until: datetime | None


class Job(msgspec.Struct, frozen=True, kw_only=True):
    """A delivery in our hands, while the lease lasts. `attempts` were made before."""

    id: UUID
    customer_id: UUID
    event_id: UUID
    type: str
    body: str
    attempts: int
    lease: UUID


class Outcome(msgspec.Struct, frozen=True):
    """What became of an attempt that began `at`."""

    job: Job
    at: datetime
    reply: Reply
    verdict: Verdict


async def due(database: Database, now: datetime) -> list[UUID]:
    """The subscriptions for which there is something to send now."""
    return [row[0] for row in await database.fetch(DUE, now)]


async def lock(tx: AsyncConnection, subscription_id: UUID) -> Target | None:
    """The subscription, ours until the transaction ends: claims come one after the other."""
    row = (await tx.execute(_LOCK, {"id": subscription_id})).one_or_none()
    return None if row is None else Target(**row._mapping)


async def claim(tx: AsyncConnection, target: Target, now: datetime) -> list[Job]:
    """Deliveries to send now: at most one a customer, and a bounded number over all senders."""
    if target.state != "active" or (target.not_before is not None and now < target.not_before):
        return []
    most = IN_FLIGHT if probing(target.failures, now) is None else 1
    on_their_way = await tx.scalar(ON_THEIR_WAY, {"id": target.id})
    if on_their_way >= most:
        return []
    lease = uuid7()
    found = await tx.execute(
        CLAIM,
        {
            "id": target.id,
            "now": now,
            "limit": most - on_their_way,
            "lease": lease,
            "lease_s": LEASE_S,
        },
    )
    return [Job(**row._mapping, lease=lease) for row in found]


async def settle(
    tx: AsyncConnection,
    target: Target,
    outcomes: Sequence[Outcome],
    now: datetime,
    patience: timedelta,
) -> Target:
    """Write down attempts, and what follows for deliveries, queues and the subscription, which is
    disabled when it is gone, or had nothing but failures, and several, for `patience`."""
    await tx.execute(_ATTEMPTS, _attempts(outcomes))
    held = await tx.execute(
        _HELD, {"id": target.id, "leases": list({one.job.lease for one in outcomes})}
    )
    leases = {row.customer_id: row.lease for row in held}
    # Who was too late finds the queue in other hands: the attempt was made, its outcome is theirs.
    ours = [one for one in outcomes if leases.get(one.job.customer_id) == one.job.lease]
    if ours:
        await tx.execute(
            _OUTCOMES,
            {
                "ids": [one.job.id for one in ours],
                "states": [one.verdict.state for one in ours],
                "now": now,
            },
        )
        customers = [one.job.customer_id for one in ours]
        await tx.execute(
            _AGAIN,
            {
                "id": target.id,
                "customers": customers,
                "next": [one.verdict.next_at for one in ours],
            },
        )
        await tx.execute(_EMPTY, {"id": target.id, "customers": customers})
    return await _health(tx, target, outcomes, now, patience)


async def _health(
    tx: AsyncConnection,
    target: Target,
    outcomes: Sequence[Outcome],
    now: datetime,
    patience: timedelta,
) -> Target:
    if any(one.reply.delivered for one in outcomes):
        healthy = msgspec.structs.replace(target, failures=0, failing_since=None, not_before=None)
        return await _write(tx, target, healthy, None)
    failures = target.failures + len(outcomes)
    since = target.failing_since or now
    pauses = [one.verdict.pause_until for one in outcomes] + [probing(failures, now)]
    because = None
    if any(one.reply.status == GONE for one in outcomes):
        because = "the subscriber answered 410 Gone"
    elif now - since >= patience and failures >= FAILURES_TO_PROBE:
        because = f"nothing but failures since {since:%Y-%m-%d %H:%M} UTC"
    changed = msgspec.structs.replace(
        target,
        failures=failures,
        failing_since=since,
        not_before=max((one for one in pauses if one is not None), default=None),
        state=target.state if because is None or target.state != "active" else "disabled",
    )
    return await _write(tx, target, changed, because)


async def _write(tx: AsyncConnection, old: Target, new: Target, because: str | None) -> Target:
    if new != old:
        await tx.execute(
            _HEALTH,
            {
                "id": new.id,
                "failures": new.failures,
                "failing_since": new.failing_since,
                "not_before": new.not_before,
                "because": because,
            },
        )
    return new


def _attempts(outcomes: Sequence[Outcome]) -> dict[str, list[object]]:
    return {
        "ids": [uuid7() for _ in outcomes],
        "deliveries": [one.job.id for one in outcomes],
        "at": [one.at for one in outcomes],
        "took": [one.reply.duration_ms for one in outcomes],
        "status": [one.reply.status for one in outcomes],
        "errors": [one.reply.error for one in outcomes],
        "answers": [one.reply.answer for one in outcomes],
    }
