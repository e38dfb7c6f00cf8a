"""A ledger, its webhooks and a clock the test sets, as one worker would have them."""

from __future__ import annotations

import asyncio
from dataclasses import dataclass, field
from datetime import timedelta
from typing import Any
from uuid import UUID

from billing.common.db import Database
from billing.events.reading import oldest_waiting
from integrations.webhooks.deliverer import Deliverer
from integrations.webhooks.dispatcher import CONSUMER, Dispatcher
from integrations.webhooks.guard import Guard
from integrations.webhooks.model import Delivery, DeliveryState, Subscription
from integrations.webhooks.schemas import SubscriptionIn, SubscriptionPatch
from integrations.webhooks.sender import Sender
from integrations.webhooks.service import Webhooks
from integrations.webhooks.signing import Seals
from ledger.service import Ledger
from tests.integrations.webhooks.receiver import Receiver
from tests.ledger.conftest import Clock
from tests.ledger.house import Customer

KEY = bytes(range(32))
HERE = Guard(plain=True, hosts=frozenset(("127.0.0.1",)))


@dataclass
class House:
    ledger: Ledger
    clock: Clock
    database: Database
    senders: list[Sender] = field(default_factory=list)

    def __post_init__(self) -> None:
        self.webhooks = Webhooks(self.database, Seals(KEY), HERE, clock=self.clock)
        self.dispatcher = Dispatcher(self.database, self.clock)
        self.deliverer = self.worker()

    def worker(self, timeout_s: float = 5.0, **more: Any) -> Deliverer:
        """Another process that sends."""
        sender = Sender(HERE, timeout_s=timeout_s)
        self.senders.append(sender)
        return Deliverer(
            self.database, sender, Seals(KEY), clock=self.clock, luck=lambda: 0.0, **more
        )

    async def close(self) -> None:
        for sender in self.senders:
            await sender.close()

    def customer(self) -> Customer:
        return Customer(self.ledger, self.clock)

    async def subscribe(self, receiver: Receiver, *events: str) -> UUID:
        body = SubscriptionIn(url=receiver.url, events=list(events or ("*",)))
        made, _ = await self.webhooks.subscribe(body)
        return made.id

    async def dispatch(self) -> None:
        """All that is committed: a transaction that is not over yet holds it back for a moment."""
        async with asyncio.timeout(20):
            while await self.dispatcher.advance() or await self._is_behind():  # noqa: ASYNC110
                await asyncio.sleep(0.01)

    async def _is_behind(self) -> bool:
        return await oldest_waiting(self.database, CONSUMER) is not None

    async def tell(self) -> None:
        """Everything that is due now."""
        await self.dispatch()
        await self.deliverer.run()

    async def later(self, **delta: float) -> None:
        """Let time pass, and send what is due then."""
        self.clock.seconds += timedelta(**delta).total_seconds()
        await self.deliverer.run()

    async def deliveries(self, state: DeliveryState | None = None) -> list[Delivery]:
        """Oldest first."""
        return (await self.webhooks.deliveries(2**62, 10_000, state, None))[::-1]

    async def subscription(self, subscription: UUID) -> Subscription:
        return await self.webhooks.get(subscription)

    async def change(self, subscription: UUID, **values: Any) -> None:
        await self.webhooks.change(subscription, SubscriptionPatch(**values))
