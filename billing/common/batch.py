"""Many look-ups by key become few queries, without a timer."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Iterable, Iterator, Mapping, Sequence
from contextvars import Context
from itertools import chain
from typing import Generic, TypeAlias, TypeVar

from billing.common import deadline
from billing.common.errors import Overloaded

K = TypeVar("K")
V = TypeVar("V")

Load = Callable[[list[K]], Awaitable[Mapping[K, V]]]
Waiting: TypeAlias = "dict[K, list[asyncio.Future[V | None]]]"


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
        self._gathering: Waiting[K, V] = {}
        self._runner: asyncio.Task[None] | None = None

    async def get(self, key: K) -> V | None:
        """The value of `key`, or None. Raises what `load` raised, or Overloaded: too many are
        waiting, or the request's time is over.
        """
        return (await self._ask([key]))[0]

    async def get_many(self, keys: Iterable[K]) -> dict[K, V]:
        """The values of `keys` that exist. Raises what `get` does."""
        distinct = list(dict.fromkeys(keys))
        values = await self._ask(distinct)
        return {
            key: value for key, value in zip(distinct, values, strict=True) if value is not None
        }

    async def _ask(self, keys: Sequence[K]) -> list[V | None]:
        # A future of its own for each caller: one that gives up takes the answer from nobody.
        futures = [self._wait_for(key) for key in keys]
        timer = asyncio.get_running_loop().call_later(deadline.left(), _give_up, futures)
        try:
            return [await future for future in futures]
        finally:
            timer.cancel()

    def _wait_for(self, key: K) -> asyncio.Future[V | None]:
        waiters = self._gathering.get(key)
        if waiters is None:
            if len(self._gathering) >= self._max_waiting:
                raise Overloaded("Too many look-ups are waiting; try again in a second.")
            waiters = self._gathering[key] = []
            if self._runner is None:
                # Of no request: it serves those to come, too, who have more patience left.
                self._runner = asyncio.create_task(self._run(), context=Context())
        future: asyncio.Future[V | None] = asyncio.get_running_loop().create_future()
        waiters.append(future)
        return future

    async def _run(self) -> None:
        try:
            while self._gathering:
                await self._serve(self._take())
        finally:
            self._runner = None
            for future in _all(self._gathering):
                future.cancel()
            self._gathering.clear()

    def _take(self) -> Waiting[K, V]:
        if len(self._gathering) <= self._max_batch:
            batch, self._gathering = self._gathering, {}
            return batch
        keys = list(self._gathering)[: self._max_batch]
        return {key: self._gathering.pop(key) for key in keys}

    async def _serve(self, batch: Waiting[K, V]) -> None:
        try:
            found = await self._load(list(batch))
        except Exception as error:
            for future in _all(batch):
                _fail(future, error)
            return
        except BaseException:
            for future in _all(batch):
                future.cancel()
            raise
        for key, waiters in batch.items():
            value = found.get(key)
            for future in waiters:
                if not future.done():
                    future.set_result(value)


def _all(waiting: Waiting[K, V]) -> Iterator[asyncio.Future[V | None]]:
    return chain.from_iterable(waiting.values())


def _fail(future: asyncio.Future[V | None], error: Exception) -> None:
    if not future.done():
        future.set_exception(error)
        future.exception()  # Its waiter may be gone; that is no error of the loop.


def _give_up(futures: Sequence[asyncio.Future[V | None]]) -> None:
    for future in futures:
        _fail(future, Overloaded("The database does not answer; repeat the request shortly."))
