"""The frame of workers that carry things to the outside and back: what they need is there while
the worker runs. Redis only wakes: a message that is lost makes it late."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any, ClassVar, Final, Generic, Protocol, TypeVar

import dramatiq
from dramatiq import Broker, Middleware, Worker
from dramatiq.asyncio import async_to_sync

from billing.common.settings import Settings
from workers.ledger import OpenLedger

SECOND: Final = 1000
MINUTE: Final = 60 * SECOND


class Work(Protocol):
    """What is made and closed inside the worker's event loop."""

    def stop(self) -> None:
        """Begin nothing new."""

    async def close(self) -> None: ...


W = TypeVar("W", bound=Work)


class OpenWork(Middleware, Generic[W]):
    """A W while the worker runs. Stands behind OpenLedger in the broker's list."""

    doing: ClassVar[str]

    def __init__(self, settings: Settings, opened: OpenLedger) -> None:
        self._settings = settings
        self._opened = opened
        self._work: W | None = None

    @property
    def work(self) -> W:
        if self._work is None:
            raise RuntimeError(f"{self.doing} in a running worker only")
        return self._work

    def before_worker_boot(self, broker: Broker, worker: Worker) -> None:
        self._work = async_to_sync(self._open)()

    def before_worker_shutdown(self, broker: Broker, worker: Worker) -> None:
        self.work.stop()

    def after_worker_shutdown(self, broker: Broker, worker: Worker) -> None:
        async_to_sync(self._close)()

    async def _open(self) -> W:
        raise NotImplementedError

    async def _close(self) -> None:
        await self.work.close()


def declare_carrying(broker: Broker, actors: Mapping[str, Callable[[], Any]]) -> None:
    """Register actors, by their names, that go on by the scheduler's next message. Times are in
    milliseconds."""
    for name, function in actors.items():
        dramatiq.actor(
            broker=broker,
            actor_name=name,
            alone=True,
            max_retries=0,  # the scheduler's next message is never far
            max_age=MINUTE,
            time_limit=10 * MINUTE,
        )(function)
