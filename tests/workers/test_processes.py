"""Workers and scheduler come, go and die: work is late at worst (DESIGN 6)."""

from __future__ import annotations

import asyncio
import os
import shutil
import signal
import tempfile
import time
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import asyncpg
import pytest

from billing.common.embedded import EmbeddedRedis
from ledger.commands import Accrue, Command, Grant
from ledger.ids import uuid7
from ledger.service import Ledger
from tests.conftest import TestDatabase
from tests.workers.conftest import Start

LEADER = """
SELECT pid FROM pg_locks JOIN pg_stat_activity USING (pid)
WHERE locktype = 'advisory' AND granted
  AND application_name = 'bonus-scheduler' AND datname = current_database()
"""
SCHEDULERS = """
SELECT count(*) FROM pg_stat_activity
WHERE application_name = 'bonus-scheduler' AND datname = current_database()
"""
OVERDUE = "SELECT count(*) FROM ledger.balances WHERE next_due <= clock_timestamp()"
AVAILABLE = "SELECT sum(available) FROM ledger.balances"


@pytest.fixture
async def superuser(database: TestDatabase) -> AsyncIterator[asyncpg.Connection[Any]]:
    connection = await asyncpg.connect(database.superuser_url)
    yield connection
    await connection.close()


@pytest.fixture
def away_redis() -> Iterator[EmbeddedRedis]:
    """A Redis that is not started yet; its URL is known beforehand."""
    folder = Path(tempfile.mkdtemp(prefix="bonus-redis-"))
    folder.chmod(0o755)
    (folder / "redis").mkdir()
    server = EmbeddedRedis(folder)
    yield server
    server.stop()
    shutil.rmtree(folder)


async def _until(what: Callable[[], Awaitable[bool]], timeout_s: float = 40) -> None:
    end = time.monotonic() + timeout_s
    while not await what():
        assert time.monotonic() < end, "it did not come to pass"
        await asyncio.sleep(0.1)


async def test_one_scheduler_leads_and_another_takes_over(
    start: Start, superuser: asyncpg.Connection[Any]
) -> None:
    async def leader_is_new() -> bool:
        return await superuser.fetchval(LEADER) not in {None, *seen}

    seen: set[int] = set()
    first = start("scheduler")
    await _until(leader_is_new)
    seen.add(await superuser.fetchval(LEADER))

    second = start("scheduler")
    await _until(lambda: _is(superuser, SCHEDULERS, 2))
    assert await superuser.fetchval(LEADER) in seen, "the second one must wait"

    first.send(signal.SIGKILL)
    await _until(leader_is_new)
    seen.add(await superuser.fetchval(LEADER))

    await superuser.execute(f"SELECT pg_terminate_backend(pid) FROM ({LEADER}) AS leader")
    await _until(leader_is_new)
    assert second.log.count("database_away") == 1
    assert second.send(signal.SIGTERM) == 0


@pytest.mark.soak
async def test_a_leader_that_stands_still_loses_its_lock(
    start: Start, superuser: asyncpg.Connection[Any]
) -> None:
    first = start("scheduler")
    await _until(lambda: _has_leader(superuser, 0))
    leader = await superuser.fetchval(LEADER)
    start("scheduler")
    os.kill(first.pid, signal.SIGSTOP)
    await _until(lambda: _has_leader(superuser, leader))
    os.kill(first.pid, signal.SIGCONT)
    await _until(lambda: _says(lambda: first.log, "database_away"))
    assert first.send(signal.SIGTERM) == 0


async def test_what_is_due_is_booked_when_redis_comes_late(
    start: Start,
    away_redis: EmbeddedRedis,
    database: TestDatabase,
    superuser: asyncpg.Connection[Any],
) -> None:
    await _accrue_for_later(database.url, timedelta(seconds=1))
    worker = start("worker", REDIS_URL=away_redis.url)
    sender = start("scheduler", REDIS_URL=away_redis.url)
    await _until(lambda: _says(lambda: worker.log, "redis_away"))
    await _until(lambda: _says(lambda: sender.log, "redis_away"))
    await _until(lambda: _is(superuser, OVERDUE, 1))
    assert await superuser.fetchval(AVAILABLE) == 0

    away_redis.start()
    assert sender.send(signal.SIGTERM) == 0
    start("scheduler", REDIS_URL=away_redis.url)
    await _until(lambda: _is(superuser, AVAILABLE, 500))
    await _until(lambda: _says(lambda: worker.log, "redis_back"))
    assert worker.log.count("redis_away") == 1
    assert "connection error" not in worker.log
    assert worker.send(signal.SIGTERM) == 0


async def _accrue_for_later(url: str, delay: timedelta) -> None:
    now = datetime.now(UTC)
    grant = Grant(bucket="base", shares=((None, 500),), active_from=now + delay)
    async with Ledger(url) as ledger:
        await ledger.execute(
            Command(customer_id=uuid7(), kind="accrual", occurred_at=now, steps=(Accrue((grant,)),))
        )


async def _has_leader(connection: asyncpg.Connection[Any], but: int) -> bool:
    return await connection.fetchval(LEADER) not in {None, but}


async def _is(connection: asyncpg.Connection[Any], query: str, value: int) -> bool:
    return bool(await connection.fetchval(query) == value)


async def _says(log: Callable[[], str], word: str) -> bool:
    return word in log()
