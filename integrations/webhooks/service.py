"""What an admin does with subscriptions and deliveries; each is one transaction."""

from __future__ import annotations

from typing import Any, Final
from uuid import UUID

import msgspec
from msgspec import UNSET

from billing.common.db import Database
from billing.common.errors import Conflict, FieldError, NotFound, ValidationFailed
from billing.events.model import PATTERNS, Envelope
from billing.events.reading import begin
from billing.events.schemas import WebhookTest
from integrations.webhooks import store
from integrations.webhooks.dispatcher import CONSUMER, Parcel, deliver
from integrations.webhooks.guard import ForbiddenTarget, Guard
from integrations.webhooks.model import OVERLAP, Attempt, Delivery, DeliveryState, Subscription
from integrations.webhooks.schemas import SubscriptionIn, SubscriptionPatch
from integrations.webhooks.signing import Seals, new_secret, shown
from ledger.group import Clock
from ledger.ids import uuid7
from ledger.service import utc_now

MAX_SUBSCRIPTIONS: Final = 20


class Webhooks:
    """Subscriptions, and what became of deliveries."""

    def __init__(
        self, database: Database, seals: Seals, guard: Guard, *, clock: Clock = utc_now
    ) -> None:
        self._database = database
        self._seals = seals
        self._guard = guard
        self._clock = clock

    async def subscribe(self, body: SubscriptionIn) -> tuple[Subscription, str]:
        """A new subscription, of what happens from now on, and its secret."""
        self._check(body.url, body.events)
        subscription_id, secret, now = uuid7(), new_secret(), self._clock()
        async with self._database.transaction() as tx:
            if await store.count(tx) >= MAX_SUBSCRIPTIONS:
                raise Conflict(
                    "too_many_subscriptions",
                    f"There are {MAX_SUBSCRIPTIONS} subscriptions already; delete one that is not "
                    "needed, or let one receiver pass events on.",
                )
            await begin(tx, CONSUMER, now)
            await store.insert(
                tx,
                {
                    "id": subscription_id,
                    "url": body.url,
                    "events": list(dict.fromkeys(body.events)),
                    "description": body.description,
                    "secret": self._seals.seal(subscription_id, secret),
                    "created_at": now,
                    "updated_at": now,
                },
            )
        return await self.get(subscription_id), shown(secret)

    async def get(self, subscription_id: UUID) -> Subscription:
        """Raises NotFound."""
        async with self._database.transaction() as tx:
            return await self._read(tx, subscription_id)

    async def page(self, after: UUID, limit: int) -> list[Subscription]:
        async with self._database.transaction() as tx:
            return await store.page(tx, after, limit)

    async def change(self, subscription_id: UUID, patch: SubscriptionPatch) -> Subscription:
        """Change what `patch` names. To make it active is to begin anew: its failures and its
        turn to wait are forgotten."""
        given: dict[str, Any] = {
            name: value
            for name, value in msgspec.structs.asdict(patch).items()
            if value is not UNSET
        }
        self._check(given.get("url"), given.get("events", ()))
        now = self._clock()
        async with self._database.transaction() as tx:
            old = await self._read(tx, subscription_id)
            if given.get("state") == "active" or "url" in given:
                given |= {"failures": 0, "failing_since": None, "not_before": None}
            if given.get("state") == "active":
                given["disabled_because"] = None
            if given.get("state") == "paused" and old.state == "disabled":
                raise Conflict(
                    "subscription_not_active",
                    "It is disabled, and so misses what happens; make it active first.",
                )
            await store.change(tx, subscription_id, given | {"updated_at": now})
        return await self.get(subscription_id)

    async def delete(self, subscription_id: UUID) -> Subscription:
        """Send nothing more; what was waiting is dropped. What was deleted."""
        now = self._clock()
        async with self._database.transaction() as tx:
            old = await self._read(tx, subscription_id)
            await store.change(tx, subscription_id, {"state": "deleted", "updated_at": now})
        return msgspec.structs.replace(old, state="deleted", updated_at=now)

    async def rotate(self, subscription_id: UUID) -> tuple[Subscription, str]:
        """A new secret; the old one signs beside it for a day."""
        secret, now = new_secret(), self._clock()
        async with self._database.transaction() as tx:
            await self._read(tx, subscription_id)
            values = {
                "secret": self._seals.seal(subscription_id, secret),
                "previous_secret": await store.secret_of(tx, subscription_id),
                "previous_until": now + OVERLAP,
                "updated_at": now,
            }
            await store.change(tx, subscription_id, values)
        return await self.get(subscription_id), shown(secret)

    async def test(self, subscription_id: UUID) -> UUID:
        """Send a webhook.test, past all queues; the delivery's id."""
        now, event_id = self._clock(), uuid7()
        data = msgspec.json.encode(WebhookTest(subscription_id=subscription_id))
        body = msgspec.json.encode(Envelope(WebhookTest.TYPE, now, msgspec.Raw(data)))
        async with self._database.transaction() as tx:
            one = await self._read(tx, subscription_id)
            if one.state != "active":
                raise Conflict(
                    "subscription_not_active", f"It is {one.state}; make it active to test it."
                )
            # A queue of its own: an event that is tried again must not hold the test up.
            parcel = Parcel(subscription_id, event_id, WebhookTest.TYPE, event_id, body.decode())
            (delivery_id,) = await deliver(tx, [parcel], now)
            await store.change(tx, subscription_id, {"not_before": None})
        return delivery_id

    async def deliveries(
        self,
        before: int,
        limit: int,
        state: DeliveryState | None,
        subscription_id: UUID | None,
    ) -> list[Delivery]:
        """Newest first."""
        return await store.deliveries(self._database, before, limit, state, subscription_id)

    async def delivery(self, delivery_id: UUID) -> tuple[Delivery, str, list[Attempt]]:
        """A delivery, what was sent, and its newest attempts. Raises NotFound."""
        one = await self._delivery(delivery_id)
        return one, *await store.history(self._database, delivery_id)

    async def replay(self, delivery_id: UUID) -> Delivery:
        """Send it once more, under the same webhook-id; one that is still on its way stays so."""
        await self._delivery(delivery_id)
        async with self._database.transaction() as tx:
            await store.replay(tx, [delivery_id], self._clock())
        return await self._delivery(delivery_id)

    async def replay_dead(self, limit: int) -> int:
        """Send up to `limit` dead deliveries once more, oldest first; how many."""
        ids = await store.dead(self._database, limit)
        async with self._database.transaction(timeout_s=store.TIMEOUT_S) as tx:
            return len(await store.replay(tx, ids, self._clock()))

    async def _delivery(self, delivery_id: UUID) -> Delivery:
        one = await store.delivery(self._database, delivery_id)
        if one is None:
            raise NotFound(f"There is no delivery {delivery_id}; old ones are forgotten.")
        return one

    async def _read(self, tx: Any, subscription_id: UUID) -> Subscription:
        one = await store.read(tx, subscription_id)
        if one is None:
            raise NotFound(f"There is no webhook subscription {subscription_id}.")
        return one

    def _check(self, url: str | None, events: Any) -> None:
        faults = []
        if url is not None:
            try:
                self._guard.url(url)
            except ForbiddenTarget as error:
                faults.append(FieldError("/url", str(error)))
        faults += [
            FieldError(f"/events/{i}", "is no type of event, no family such as points.*, nor *")
            for i, pattern in enumerate(events)
            if pattern not in PATTERNS
        ]
        if faults:
            raise ValidationFailed(faults)
