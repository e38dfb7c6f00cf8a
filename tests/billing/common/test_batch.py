"""Batched look-ups."""

from __future__ import annotations

import asyncio

import pytest

from billing.common.batch import Batcher
from billing.common.errors import Overloaded


class Shelf:
    """A table that counts its queries and answers when it is let go."""

    def __init__(self, **rows: int) -> None:
        self.rows = rows
        self.queries: list[list[str]] = []
        self.open = asyncio.Event()
        self.open.set()

    async def load(self, keys: list[str]) -> dict[str, int]:
        self.queries.append(keys)
        await self.open.wait()
        return {key: self.rows[key] for key in keys if key in self.rows}


async def test_keys_of_one_moment_share_a_query() -> None:
    shelf = Shelf(a=1, b=2)
    batcher = Batcher(shelf.load)
    found = await asyncio.gather(*(batcher.get(key) for key in "abca"))
    assert found == [1, 2, None, 1]
    assert shelf.queries == [["a", "b", "c"]]


async def test_while_a_query_runs_the_next_gathers_and_is_fresh() -> None:
    shelf = Shelf(a=1)
    batcher = Batcher(shelf.load)
    shelf.open.clear()
    early = asyncio.create_task(batcher.get("a"))
    await asyncio.sleep(0)
    await asyncio.sleep(0)
    late = [asyncio.create_task(batcher.get(key)) for key in ("a", "b")]
    await asyncio.sleep(0)
    shelf.open.set()
    assert await early == 1
    assert await asyncio.gather(*late) == [1, None]
    assert shelf.queries == [["a"], ["a", "b"]]


async def test_a_batch_is_bounded() -> None:
    shelf = Shelf(**{f"k{n}": n for n in range(25)})
    batcher = Batcher(shelf.load, max_batch=10)
    assert await batcher.get_many([f"k{n}" for n in range(25)]) == shelf.rows
    assert [len(query) for query in shelf.queries] == [10, 10, 5]


async def test_the_queue_is_bounded() -> None:
    shelf = Shelf(a=1)
    batcher = Batcher(shelf.load, max_waiting=1)
    shelf.open.clear()
    first = asyncio.create_task(batcher.get("a"))
    await asyncio.sleep(0)
    with pytest.raises(Overloaded):
        await batcher.get("b")
    shelf.open.set()
    assert await first == 1


async def test_an_error_reaches_each_waiter_and_the_next_query_works() -> None:
    calls = 0

    async def load(keys: list[str]) -> dict[str, int]:
        nonlocal calls
        calls += 1
        if calls == 1:
            raise Overloaded("away")
        return dict.fromkeys(keys, 7)

    batcher = Batcher(load)
    failed = await asyncio.gather(batcher.get("a"), batcher.get("b"), return_exceptions=True)
    assert [type(error) for error in failed] == [Overloaded, Overloaded]
    assert await batcher.get("a") == 7


async def test_a_caller_that_gives_up_takes_nothing_from_the_others() -> None:
    shelf = Shelf(a=1)
    batcher = Batcher(shelf.load)
    shelf.open.clear()
    impatient, patient = (asyncio.create_task(batcher.get("a")) for _ in range(2))
    await asyncio.sleep(0)
    impatient.cancel()
    await asyncio.sleep(0)
    shelf.open.set()
    assert await patient == 1
    assert impatient.cancelled()
    assert await batcher.get("a") == 1
