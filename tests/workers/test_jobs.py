"""Jobs: done once each, one of a kind at a time, taken over from the dead (DESIGN 6)."""

from __future__ import annotations

import asyncio
import signal
from collections.abc import AsyncIterator, Callable
from typing import Any
from uuid import UUID

import asyncpg
import pytest

from billing.common.auth import NOBODY
from billing.common.db import Database
from billing.common.errors import Overloaded, ValidationFailed
from billing.common.settings import Settings
from billing.jobs import store
from billing.jobs.model import Job, Progress, Work
from billing.jobs.runner import JobRunner
from billing.jobs.service import MAX_WAITING, Jobs
from billing.simulations.model import SIMULATION
from tests.conftest import TestDatabase
from tests.workers.conftest import Start
from workers.names import RUN_JOBS
from workers.waking import Waker

BEAT_S = 0.02


OF_NOTHING = {
    "program": "nowhere",
    "version": 1,
    "from": "2026-03-01T00:00:00Z",
    "to": "2026-04-01T00:00:00Z",
}
"""A simulation that a worker can only refuse."""


class House:
    """Jobs on a database of their own, and runners that stand for workers."""

    def __init__(self, database: Database, superuser: asyncpg.Connection[Any]) -> None:
        self.database = database
        self.superuser = superuser
        self.woken = 0
        self.jobs = Jobs(database, self._wake)

    def _wake(self) -> None:
        self.woken += 1

    def runner(self, work: Work, **options: Any) -> JobRunner:
        return JobRunner(self.database, {"count": work}, beat_s=BEAT_S, **options)

    async def ask(self, **parameters: Any) -> UUID:
        return (await self.jobs.create("count", parameters, "the test")).id

    async def read(self, job_id: UUID) -> Job:
        return await self.jobs.read(job_id, NOBODY)

    async def until(self, job_id: UUID, what: Callable[[Job], bool]) -> Job:
        async with asyncio.timeout(40):
            while not what(job := await self.read(job_id)):  # noqa: ASYNC110
                await asyncio.sleep(0.01)
        return job

    async def running(self, job_id: UUID) -> None:
        await self.until(job_id, lambda job: job.state == "running")

    async def age(self, job_id: UUID, column: str, seconds: int) -> None:
        await self.superuser.execute(
            f"UPDATE billing.jobs SET {column} = {column} - make_interval(secs => $2)"
            " WHERE id = $1",
            job_id,
            seconds,
        )


@pytest.fixture
async def house(database: TestDatabase) -> AsyncIterator[House]:
    made = Database(database.url, size=4)
    superuser = await asyncpg.connect(database.superuser_url)
    yield House(made, superuser)
    await superuser.close()
    await made.close()


async def count(progress: Progress, parameters: dict[str, Any]) -> dict[str, int]:
    progress.total = parameters["to"]
    for progress.done in range(1, parameters["to"] + 1):
        await asyncio.sleep(0)
    return {"counted": progress.done}


async def for_ever(progress: Progress, parameters: dict[str, Any]) -> None:
    progress.done, progress.total = 7, 9
    await asyncio.Event().wait()


async def test_jobs_are_done_in_their_order_and_keep_their_results(house: House) -> None:
    ids = [await house.ask(to=n) for n in (3, 5)]
    assert house.woken == 2
    assert await house.runner(count).run_all() == 2
    first, second = [await house.read(job_id) for job_id in ids]
    assert (first.state, first.result, first.progress, first.total) == (
        "done",
        {"counted": 3},
        3,
        3,
    )
    assert second.result == {"counted": 5}
    assert first.finished_at
    assert second.started_at
    assert first.finished_at <= second.started_at


async def test_one_of_a_kind_runs_at_a_time_and_progress_can_be_read(house: House) -> None:
    first, second = await house.ask(), await house.ask()
    one, other = house.runner(for_ever), house.runner(for_ever)
    working = asyncio.create_task(one.run_all())
    await house.running(first)
    assert await other.run_all() == 0
    assert (await house.read(second)).state == "queued"
    job = await house.until(first, lambda job: job.progress == 7)
    assert job.total == 9
    one.stop()
    await working


async def test_a_cancelled_job_ends_and_keeps_no_result(house: House) -> None:
    job_id = await house.ask()
    ended = asyncio.Event()

    async def work(progress: Progress, parameters: dict[str, Any]) -> None:
        try:
            await asyncio.Event().wait()
        finally:
            ended.set()

    working = asyncio.create_task(house.runner(work).run_all())
    await house.running(job_id)
    await house.jobs.cancel(job_id, NOBODY)
    assert await asyncio.wait_for(working, 5) == 1
    assert ended.is_set()
    job = await house.read(job_id)
    assert (job.state, job.result) == ("cancelled", None)
    assert await house.jobs.cancel(job_id, NOBODY) == job


async def test_a_worker_that_stops_gives_its_job_back(house: House) -> None:
    job_id = await house.ask(to=2)
    stopping = house.runner(for_ever)
    working = asyncio.create_task(stopping.run_all())
    await house.running(job_id)
    stopping.stop()
    assert await asyncio.wait_for(working, 5) == 0
    assert (await house.read(job_id)).state == "queued"
    assert await house.runner(count).run_all() == 1
    assert (await house.read(job_id)).result == {"counted": 2}


async def test_a_job_of_a_dead_worker_is_begun_anew_and_the_dead_one_changes_nothing(
    house: House,
) -> None:
    job_id = await house.ask(to=2)
    async with house.database.transaction() as tx:
        lost = await store.claim(tx, ["count"])
    assert lost is not None
    assert await house.runner(count).run_all() == 0, "its worker may be alive"
    await house.age(job_id, "heartbeat_at", store.STALE_S + 1)
    assert await house.runner(count).run_all() == 1
    async with house.database.transaction() as tx:
        assert not await store.beat(tx, lost, Progress())
        assert not await store.finish(tx, lost, Progress(), b'"late"')
        assert not await store.fail(tx, lost, "late")
    assert (await house.read(job_id)).result == {"counted": 2}


async def test_a_worker_that_fell_behind_drops_its_job(house: House) -> None:
    job_id = await house.ask(to=2)
    slow = house.runner(for_ever)
    working = asyncio.create_task(slow.run_all())
    await house.running(job_id)
    # As if it had been taken over in the meantime.
    await house.age(job_id, "started_at", -1)
    assert await asyncio.wait_for(working, 5) == 1
    assert (await house.read(job_id)).state == "running"


async def test_a_job_that_is_begun_again_and_again_is_given_up(house: House) -> None:
    job_id, next_one = await house.ask(to=1), await house.ask(to=1)
    async with house.database.transaction() as tx:
        await store.claim(tx, ["count"])
    await house.age(job_id, "heartbeat_at", store.STALE_S + 1)
    await house.age(job_id, "created_at", store.LIFETIME_S + 1)
    assert await house.runner(count).run_all() == 1
    assert (await house.read(next_one)).state == "done"
    job = await house.read(job_id)
    assert job.state == "failed"
    assert "never came to an end" in str(job.error)


async def test_what_goes_wrong_is_told(house: House) -> None:
    errors = {
        "told": ValidationFailed.at("/to", "is too far away"),
        "ours": ZeroDivisionError(),
        "away": Overloaded("not now"),
    }

    async def fail(progress: Progress, parameters: dict[str, Any]) -> None:
        raise errors[parameters["how"]]

    ids = {how: await house.ask(how=how) for how in errors}
    assert await house.runner(fail).run_all() == 2
    jobs = {how: await house.read(job_id) for how, job_id in ids.items()}
    assert (jobs["told"].state, jobs["told"].error) == ("failed", "/to: is too far away")
    assert (jobs["ours"].state, jobs["ours"].result) == ("failed", None)
    assert "was logged" in str(jobs["ours"].error)
    assert jobs["away"].state == "queued", "the database comes back"


async def test_a_job_that_takes_too_long_is_ended(house: House) -> None:
    job_id = await house.ask()
    assert await house.runner(for_ever, time_limit_s=0.05).run_all() == 1
    job = await house.read(job_id)
    assert job.state == "failed"
    assert "ask for less" in str(job.error)


async def test_not_too_many_wait(house: House) -> None:
    for _ in range(MAX_WAITING):
        await house.ask(to=1)
    with pytest.raises(Overloaded, match="wait already"):
        await house.ask(to=1)


async def test_a_worker_is_woken_by_whoever_creates_a_job(
    house: House, start: Start, settings: Settings
) -> None:
    waker = Waker(settings.redis_url)
    jobs = Jobs(house.database, lambda: waker.wake(RUN_JOBS))
    worker = start("worker")
    job = await jobs.create(SIMULATION, OF_NOTHING, "the test")
    job = await house.until(job.id, lambda job: job.finished_at is not None)
    assert (job.state, job.error) == ("failed", "There is no program 'nowhere'.")
    await waker.close()
    assert worker.send(signal.SIGTERM) == 0


async def test_without_redis_a_job_waits_for_the_scheduler(
    house: House, start: Start, settings: Settings
) -> None:
    waker = Waker("unix:///nonexistent/redis.sock")
    jobs = Jobs(house.database, lambda: waker.wake(RUN_JOBS))
    job = await jobs.create(SIMULATION, OF_NOTHING, "the test")
    await waker.close()
    start("worker")
    start("scheduler")
    job = await house.until(job.id, lambda job: job.finished_at is not None)
    assert job.state == "failed"
