"""Operations: what is late is said, who dies is replaced, and Redis holds nothing (DESIGN 6)."""

from __future__ import annotations

import asyncio
import json
import signal
import time
from collections.abc import AsyncIterator, Awaitable, Callable
from datetime import UTC, datetime, timedelta
from typing import Any, TypeAlias
from uuid import UUID

import asyncpg
import pytest
import redis

from billing.app.working import make_work
from billing.common.db import Database
from billing.common.embedded import EmbeddedRedis
from billing.common.settings import Settings
from billing.work.model import WorkReport
from ledger.commands import Accrue, Command, Grant
from ledger.ids import uuid7
from ledger.service import Ledger
from tests.conftest import TestDatabase
from tests.workers.conftest import Start
from tests.workers.test_processes import LEADER, away_redis

__all__ = ["away_redis"]

Superuser: TypeAlias = "asyncpg.Connection[Any]"
AVAILABLE = "SELECT coalesce(sum(available), 0) FROM ledger.balances"


@pytest.fixture
async def superuser(database: TestDatabase) -> AsyncIterator[Superuser]:
    connection = await asyncpg.connect(database.superuser_url)
    yield connection
    await connection.close()


@pytest.fixture
async def report(settings: Settings) -> AsyncIterator[Callable[[], Awaitable[WorkReport]]]:
    database = Database(settings.database_url, size=2)
    work = make_work(settings, database)
    yield work.report
    await work.close()
    await database.close()


async def until(what: Callable[[], Awaitable[Any]], timeout_s: float = 40) -> Any:
    end = time.monotonic() + timeout_s
    while not (found := await what()):
        assert time.monotonic() < end, "it did not come to pass"
        await asyncio.sleep(0.1)
    return found


async def accrue_for_later(url: str, delay_s: float, customers: int = 1) -> list[UUID]:
    now = datetime.now(UTC)
    grant = Grant("base", ((None, 500),), active_from=now + timedelta(seconds=delay_s))
    ids = [uuid7() for _ in range(customers)]
    async with Ledger(url) as ledger:
        await ledger.execute_many(
            [
                Command(customer_id=one, kind="accrual", occurred_at=now, steps=(Accrue((grant,)),))
                for one in ids
            ]
        )
    return ids


async def test_every_actor_runs_is_written_down_and_nothing_is_late(
    start: Start,
    report: Callable[[], Awaitable[WorkReport]],
    database: TestDatabase,
    superuser: Superuser,
) -> None:
    await accrue_for_later(database.url, 1, customers=7)
    worker, sender = start("worker"), start("scheduler")

    async def all_have_run() -> WorkReport | None:
        found = await report()
        well = all(run.outcome in ("done", "running") for run in found.actors)
        swept = await superuser.fetchval(
            "SELECT sum(handled) FROM billing.work_runs WHERE name = 'post_due'"
        )
        return found if well and swept == 7 else None

    found: WorkReport = await until(all_have_run, timeout_s=80)
    assert found.problems == []
    assert found.redis == "up"
    assert {"post_due", "tell_expiring", "give_birthdays", "forget"} <= {
        run.actor for run in found.actors
    }
    assert {process.role for process in found.processes} == {"worker", "scheduler"}
    (leader,) = [process for process in found.processes if process.role == "scheduler"]
    assert leader.leads_since is not None
    assert sender.send(signal.SIGTERM) == 0
    assert worker.send(signal.SIGTERM) == 0
    gone = await report()
    assert gone.processes == []
    assert len(gone.problems) == 2, "no scheduler, no worker"


async def test_an_actor_that_raises_is_shown_with_its_error(
    start: Start, report: Callable[[], Awaitable[WorkReport]], superuser: Superuser
) -> None:
    await superuser.execute("ALTER TABLE billing.notice_runs RENAME COLUMN notices TO elsewhere")
    start("worker")
    start("scheduler")

    async def has_failed() -> bool:
        found = {run.actor: run for run in (await report()).actors}
        return found["tell_expiring"].outcome == "failed"

    await until(has_failed)
    (run,) = [run for run in (await report()).actors if run.actor == "tell_expiring"]
    assert 'column "notices"' in str(run.error)
    await superuser.execute("ALTER TABLE billing.notice_runs RENAME COLUMN elsewhere TO notices")

    async def is_well() -> bool:
        found = {run.actor: run for run in (await report()).actors}
        return found["tell_expiring"].outcome == "done"

    await until(is_well)


async def test_a_second_scheduler_takes_over_within_seconds_of_a_kill(
    start: Start, report: Callable[[], Awaitable[WorkReport]], superuser: Superuser
) -> None:
    first = start("scheduler")
    await until(lambda: superuser.fetchval(LEADER))
    start("scheduler")

    async def both() -> bool:
        return len((await report()).processes) == 2

    await until(both)
    found = await report()
    assert sorted(one.leads_since is not None for one in found.processes) == [False, True]
    (leader,) = [one.id for one in found.processes if one.leads_since]
    first.send(signal.SIGKILL)
    killed = time.monotonic()

    async def another_leads() -> bool:
        leads = {one.id for one in (await report()).processes if one.leads_since}
        return bool(leads - {leader})

    await until(another_leads)
    assert time.monotonic() - killed < 15


async def test_a_redis_that_is_flushed_or_restarted_loses_nothing(
    start: Start,
    away_redis: EmbeddedRedis,
    database: TestDatabase,
    superuser: Superuser,
) -> None:
    """Points whose time comes are booked, however often Redis forgets."""
    away_redis.start()
    worker = start("worker", REDIS_URL=away_redis.url)
    start("scheduler", REDIS_URL=away_redis.url)
    client = redis.Redis.from_url(away_redis.url)

    async def booked(points: int) -> bool:
        return bool(await superuser.fetchval(AVAILABLE) == points)

    await accrue_for_later(database.url, 3, customers=3)
    await until(lambda: booked(1500))
    client.flushall()
    await accrue_for_later(database.url, 3, customers=3)
    await until(lambda: booked(3000), timeout_s=60)
    await asyncio.to_thread(away_redis.stop)
    await accrue_for_later(database.url, 3, customers=3)
    await asyncio.to_thread(away_redis.start)
    await until(lambda: booked(4500), timeout_s=60)
    client.close()
    assert worker.send(signal.SIGTERM) == 0


async def test_a_worker_stops_in_the_middle_of_much_work(
    start: Start, database: TestDatabase, superuser: Superuser
) -> None:
    """SIGTERM ends a sweep after its group; the next worker goes on, and nothing doubles."""
    await accrue_for_later(database.url, 12, customers=6_000)
    worker = start("worker")
    start("scheduler")
    assert await superuser.fetchval(AVAILABLE) == 0
    await until(lambda: superuser.fetchval(f"SELECT ({AVAILABLE}) > 0"), timeout_s=60)
    asked = time.monotonic()
    assert await asyncio.to_thread(worker.send, signal.SIGTERM) == 0
    assert time.monotonic() - asked < 20
    first = await superuser.fetchval(AVAILABLE)
    killed = start("worker")

    async def goes_on() -> bool:
        return bool(await superuser.fetchval(AVAILABLE) > first)

    await until(goes_on, timeout_s=60)
    killed.send(signal.SIGKILL)
    start("worker")

    async def all_booked() -> bool:
        return bool(await superuser.fetchval(AVAILABLE) == 6_000 * 500)

    await until(all_booked, timeout_s=90)
    assert await superuser.fetchval("SELECT max(version) FROM ledger.balances") == 2


async def test_the_command_line_says_what_is_late_and_so_does_its_exit_code(
    bonus: Callable[..., Awaitable[tuple[int, str]]], superuser: Superuser, database: TestDatabase
) -> None:
    code, printed = await bonus("work", "status", "--json")
    assert code == 1
    assert len(json.loads(printed)["problems"]) == 2, "nobody works here"
    (broken,) = await accrue_for_later(database.url, 0)
    await superuser.execute(
        "UPDATE ledger.balances SET next_due = now() - interval '1 hour' WHERE customer_id = $1",
        broken,
    )
    code, printed = await bonus("work", "status")
    assert code == 1
    assert "LATE: due: the oldest has waited 60 min, more than 5 min." in printed
    assert "LATE: No worker runs: start `bonus worker`." in printed
    code, printed = await bonus("work", "status", REDIS_URL="unix:///nonexistent/redis.sock")
    assert "Redis is away" in printed
