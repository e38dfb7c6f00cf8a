"""Many look-ups by key become few queries, without a timer."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Mapping
from contextvars import Context
from typing import Generic, TypeVar

from billing.common import deadline
from billing.common.errors import Overloaded

K = TypeVar("K")
V = TypeVar("V")

Load = Callable[[list[K]], Awaitable[Mapping[K, V]]]


class Batcher(Generic[K, V]):
    """While one query runs, the keys of the next one gather; a lone key never waits.

    `load` takes distinct keys, at most `max_batch`, and answers those it found. An answer is
    never older than the call of `get`: a key asked again while its query runs is queried again.
    """

    def __init__(
        self, load: Load[K, V], *, max_batch: int = 500, max_waiting: int = 20_000
    ) -> None:
        self._load = load
        self._max_batch = max_batch
        self._max_waiting = max_waiting
        self._gathering: dict[K, asyncio.Future[V | None]] = {}
        self._runner: asyncio.Task[None] | None = None

    async def get(self, key: K) -> V | None:
        """The value of `key`, or None. Raises what `load` raised, or Overloaded: too many are
        waiting, or the request's time is over.
        """
        future = self._gathering.get(key)
        if future is None:
            if len(self._gathering) >= self._max_waiting:
                raise Overloaded("Too many look-ups are waiting; try again in a second.")
            future = self._gathering[key] = asyncio.get_running_loop().create_future()
            if self._runner is None:
                # Of no request: it serves those to come, too, who have more patience left.
                self._runner = asyncio.create_task(self._run(), context=Context())
        # Shielded: a caller that gives up must not take the answer from the others.
        try:
            async with asyncio.timeout(deadline.left()):
                return await asyncio.shield(future)
        except TimeoutError:
            raise Overloaded("The database does not answer; repeat the request shortly.") from None

    async def get_many(self, keys: list[K]) -> dict[K, V]:
        """The values of `keys` that exist."""
        distinct = list(dict.fromkeys(keys))
        values = await asyncio.gather(*(self.get(key) for key in distinct))
        return {
            key: value for key, value in zip(distinct, values, strict=True) if value is not None
        }

    async def _run(self) -> None:
        try:
            while self._gathering:
                await self._serve(self._take())
        finally:
            self._runner = None
            for future in self._gathering.values():
                future.cancel()
            self._gathering.clear()

    def _take(self) -> dict[K, asyncio.Future[V | None]]:
        if len(self._gathering) <= self._max_batch:
            batch, self._gathering = self._gathering, {}
            return batch
        keys = list(self._gathering)[: self._max_batch]
        return {key: self._gathering.pop(key) for key in keys}

    async def _serve(self, batch: dict[K, asyncio.Future[V | None]]) -> None:
        try:
            found = await self._load(list(batch))
        except Exception as error:
            for future in batch.values():
                future.set_exception(error)
                future.exception()  # Waiters may all be gone; that is no error of the loop.
            return
        except BaseException:
            for future in batch.values():
                future.cancel()
            raise
        for key, future in batch.items():
            future.set_result(found.get(key))
