"""The ledger a worker process keeps open, in the event loop its actors run in."""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import Final

from dramatiq import Broker, Middleware, Worker
from dramatiq.asyncio import async_to_sync

from ledger.service import Ledger

WHILE_S: Final = 300.0
"""For how long a message is worked on; the scheduler's next one goes on with what is left, long
before the time limit, which is for what hangs."""


class OpenLedger(Middleware):
    """Opened when the worker boots, drained and closed after its last message.

    Stands behind AsyncIO in the broker's list: that one starts the event loop before, and stops
    it after.
    """

    def __init__(self, database_url: str) -> None:
        self._url = database_url
        self._ledger: Ledger | None = None
        self.stopping = False
        """Whoever works in a loop ends it: the rest is found by the next worker."""

    @property
    def ledger(self) -> Ledger:
        if self._ledger is None:
            raise RuntimeError("the ledger is open in a running worker only")
        return self._ledger

    def a_while(self) -> Callable[[], bool]:
        """Whether whoever works in a loop may take another step."""
        end = time.monotonic() + WHILE_S
        return lambda: not self.stopping and time.monotonic() < end

    def before_worker_boot(self, broker: Broker, worker: Worker) -> None:
        async_to_sync(self._open)()

    def before_worker_shutdown(self, broker: Broker, worker: Worker) -> None:
        self.stopping = True

    def after_worker_shutdown(self, broker: Broker, worker: Worker) -> None:
        async_to_sync(self._close)()

    async def _open(self) -> None:
        self._ledger = Ledger(self._url)
        await self._ledger.start()

    async def _close(self) -> None:
        await self.ledger.close()
        self._ledger = None
