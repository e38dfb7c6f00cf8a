"""Telling and sending as a worker runs them: in few seconds of waiting, and few at a time."""

from __future__ import annotations

import asyncio
from datetime import timedelta
from typing import Final

from billing.common.db import Database
from billing.common.settings import Settings
from integrations.webhooks import store
from integrations.webhooks.deliverer import Deliverer
from integrations.webhooks.dispatcher import Dispatcher
from integrations.webhooks.guard import guard_of
from integrations.webhooks.sender import Sender
from integrations.webhooks.signing import Seals
from ledger.group import Clock
from ledger.service import utc_now

LOOK_EVERY_S: Final = 0.25
FOLLOW_S: Final = 30.0
CONNECTIONS: Final = 6
IDLE_S: Final = 30
"""Nobody else tells events while a process that was stopped is in the middle of it."""


class WebhookWork:
    """What is needed to tell events to subscribers. Made and closed inside an event loop."""

    def __init__(self, settings: Settings, clock: Clock = utc_now) -> None:
        self._database = Database(
            settings.database_url, application="bonus-webhooks", size=CONNECTIONS, idle_s=IDLE_S
        )
        self._sender = Sender(guard_of(settings))
        self._clock = clock
        self.dispatcher = Dispatcher(self._database, clock)
        self.deliverer = Deliverer(
            self._database,
            self._sender,
            Seals(settings.secret_key),
            clock=clock,
            patience=timedelta(days=settings.webhook_disable_days),
        )
        self._following = False
        self._stopping = False

    async def follow(self, *, for_s: float = FOLLOW_S) -> int:
        """Turn events into deliveries as they come, for so long, and send them at once. How many
        chunks there were. While one follows, others of the process return. Raises Overloaded,
        CursorAhead."""
        if self._following:
            return 0
        self._following = True
        chunks = 0
        sending: asyncio.Task[int] | None = None
        end = asyncio.get_running_loop().time() + for_s
        try:
            while True:
                if await self.dispatcher.advance():
                    chunks += 1
                    if sending is None or sending.done():
                        sending = asyncio.create_task(self.deliverer.run())
                elif self._stopping or asyncio.get_running_loop().time() >= end:
                    break
                else:
                    await asyncio.sleep(LOOK_EVERY_S)
        finally:
            self._following = False
            if sending is not None:
                await sending
        return chunks

    async def forget(self) -> None:
        """Drop deliveries that are long over."""
        await store.prune(self._database, self._clock())

    def stop(self) -> None:
        """Begin nothing new."""
        self._stopping = True
        self.deliverer.stop()

    async def close(self) -> None:
        await self._sender.close()
        await self._database.close()
