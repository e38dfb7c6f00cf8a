"""Telling events to subscribers."""

from __future__ import annotations

from typing import ClassVar

from dramatiq import Broker

from integrations.webhooks.running import WebhookWork
from workers.carrying import OpenWork, declare_carrying
from workers.names import DELIVER_WEBHOOKS, DISPATCH_EVENTS, FORGET_DELIVERIES


class OpenWebhooks(OpenWork[WebhookWork]):
    """What telling needs, while the worker runs."""

    doing: ClassVar = "events are told"

    async def dispatch(self) -> int:
        """Follow the stream for some seconds; the scheduler's next message goes on."""
        return await self.work.follow()

    async def deliver(self) -> int:
        """What is due again, or was left behind by a sender that died."""
        return await self.work.deliverer.run()

    async def forget(self) -> None:
        """What is long over."""
        await self.work.forget()

    async def _open(self) -> WebhookWork:
        return WebhookWork(self._settings, self._opened.ledger.clock)


def declare_webhooks(broker: Broker, opened: OpenWebhooks) -> None:
    """Register the actors with the broker."""
    declare_carrying(
        broker,
        {
            DISPATCH_EVENTS: opened.dispatch,
            DELIVER_WEBHOOKS: opened.deliver,
            FORGET_DELIVERIES: opened.forget,
        },
    )
