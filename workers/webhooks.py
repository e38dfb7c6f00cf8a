"""Telling events to subscribers. Redis only wakes: a message that is lost makes it late."""

from __future__ import annotations

from typing import Final

import dramatiq
from dramatiq import Broker, Middleware, Worker
from dramatiq.asyncio import async_to_sync

from billing.common.settings import Settings
from integrations.webhooks.running import WebhookWork
from workers.ledger import OpenLedger
from workers.names import DELIVER_WEBHOOKS, DISPATCH_EVENTS, FORGET_DELIVERIES

SECOND: Final = 1000
MINUTE: Final = 60 * SECOND


class OpenWebhooks(Middleware):
    """What telling needs, while the worker runs. Stands behind OpenLedger in the broker's list."""

    def __init__(self, settings: Settings, opened: OpenLedger) -> None:
        self._settings = settings
        self._opened = opened
        self._work: WebhookWork | None = None

    @property
    def work(self) -> WebhookWork:
        if self._work is None:
            raise RuntimeError("events are told in a running worker only")
        return self._work

    def before_worker_boot(self, broker: Broker, worker: Worker) -> None:
        async_to_sync(self._open)()

    def before_worker_shutdown(self, broker: Broker, worker: Worker) -> None:
        self.work.stop()

    def after_worker_shutdown(self, broker: Broker, worker: Worker) -> None:
        async_to_sync(self.work.close)()

    async def _open(self) -> None:
        self._work = WebhookWork(self._settings, self._opened.ledger.clock)

    async def dispatch(self) -> int:
        """Follow the stream for some seconds; the scheduler's next message goes on."""
        return await self.work.follow()

    async def deliver(self) -> int:
        """What is due again, or was left behind by a sender that died."""
        return await self.work.deliverer.run()

    async def forget(self) -> None:
        """What is long over."""
        await self.work.forget()


def declare_webhooks(broker: Broker, opened: OpenWebhooks) -> None:
    """Register the actors with the broker. Times are in milliseconds."""
    for name, function in (
        (DISPATCH_EVENTS, opened.dispatch),
        (DELIVER_WEBHOOKS, opened.deliver),
        (FORGET_DELIVERIES, opened.forget),
    ):
        dramatiq.actor(
            broker=broker,
            actor_name=name,
            alone=True,
            max_retries=0,  # the scheduler's next message is never far
            max_age=MINUTE,
            time_limit=10 * MINUTE,
        )(function)
