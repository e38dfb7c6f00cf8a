"""Runs of actors are recorded, whatever becomes of them, and an actor that works alone does."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable
from typing import Any

import asyncpg
import dramatiq
import pytest
from dramatiq import Worker
from dramatiq.brokers.stub import StubBroker
from dramatiq.middleware import AsyncIO, TimeLimit

from tests.conftest import TestDatabase
from workers.runs import RecordRuns

RUNS = "SELECT name, outcome, handled, error, repeats FROM billing.work_runs ORDER BY started_at"


class House:
    """A worker in this process, with actors of the test's own."""

    def __init__(self, url: str) -> None:
        self.broker = StubBroker(middleware=[TimeLimit(interval=50), AsyncIO(), RecordRuns(url)])
        self.broker.emit_after("process_boot")
        self._worker = Worker(self.broker, worker_timeout=50, worker_threads=4)

    def actor(self, function: Callable[..., Any], **options: Any) -> dramatiq.Actor[..., Any]:
        return dramatiq.actor(broker=self.broker, **options)(function)

    async def work(self) -> None:
        """Until no message waits."""
        await asyncio.to_thread(self._work)

    def _work(self) -> None:
        self._worker.start()
        self.broker.join("default", timeout=20_000, fail_fast=False)
        self._worker.join()
        self._worker.stop()


@pytest.fixture
async def superuser(database: TestDatabase) -> AsyncIterator[asyncpg.Connection[Any]]:
    connection = await asyncpg.connect(database.superuser_url)
    yield connection
    await connection.close()


async def test_what_an_actor_did_and_why_it_failed(
    database: TestDatabase, superuser: asyncpg.Connection[Any]
) -> None:
    house = House(database.url)

    async def does() -> int:
        return 7

    async def raises() -> None:
        raise LookupError("no such thing")

    async def hangs() -> None:
        await asyncio.Event().wait()

    for function in (does, raises, hangs):
        house.actor(function, time_limit=300).send()
    await house.work()
    rows = {row["name"]: row for row in await superuser.fetch(RUNS)}
    assert (rows["does"]["outcome"], rows["does"]["handled"]) == ("done", 7)
    assert (rows["raises"]["outcome"], rows["raises"]["error"]) == (
        "failed",
        "LookupError('no such thing')",
    )
    assert rows["hangs"]["outcome"] == "failed"
    assert "TimeLimitExceeded" in rows["hangs"]["error"]


async def test_an_actor_that_works_alone_is_not_begun_twice_in_a_process(
    database: TestDatabase, superuser: asyncpg.Connection[Any]
) -> None:
    house = House(database.url)
    at_once: list[int] = []
    running = 0

    async def works() -> int:
        nonlocal running
        running += 1
        at_once.append(running)
        await asyncio.sleep(0.5)
        running -= 1
        return 1

    alone = house.actor(works, alone=True)
    for _ in range(3):
        alone.send()
    await house.work()
    assert at_once == [1], "the others were dropped, not kept for later"
    assert [row["handled"] for row in await superuser.fetch(RUNS)] == [1]


async def test_a_run_that_cannot_be_recorded_is_done_all_the_same(
    database: TestDatabase,
) -> None:
    house = House("postgresql:///nowhere?host=/nonexistent&user=nobody")
    done: list[bool] = []

    async def does() -> None:
        done.append(True)

    house.actor(does).send()
    await house.work()
    assert done == [True]
