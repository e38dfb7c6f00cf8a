"""Campaigns in worker processes that are killed: nobody gets nothing, nobody gets twice."""

from __future__ import annotations

import asyncio
import random
import signal
import time
from collections.abc import AsyncIterator, Callable
from datetime import UTC, datetime

import asyncpg
import psutil
import pytest

from billing.common.settings import Settings
from tests.billing.campaigns.house import Office
from tests.billing.scenarios.house import opened
from tests.conftest import TestDatabase
from tests.workers.conftest import Start

COUNT = "SELECT count(*) FROM ledger.sources"
SPREAD = """
SELECT count(*) AS customers, min(n) AS least, max(n) AS most FROM (
    SELECT customer_id, count(*) AS n FROM ledger.postings WHERE debit = 'issued'
    GROUP BY customer_id) AS each
"""


@pytest.fixture
async def office(settings: Settings, database: TestDatabase) -> AsyncIterator[Office]:
    superuser = await asyncpg.connect(database.superuser_url)
    async with opened(settings) as chain:
        chain.now = datetime.now(UTC)
        yield Office(chain, superuser)
    await superuser.close()


async def _until_given(office: Office, number: int, timeout_s: float = 90) -> None:
    end = time.monotonic() + timeout_s
    while await office.superuser.fetchval(COUNT) < number:
        assert time.monotonic() < end, "it did not come to pass"
        await asyncio.sleep(0.05)


async def _until_finished(office: Office, code: str, timeout_s: float = 120) -> None:
    end = time.monotonic() + timeout_s
    while await office.state(code) != "finished":
        assert time.monotonic() < end, (await office.get(f"/{code}"), await office.runs(code))
        await asyncio.sleep(0.2)


async def test_killed_workers_neither_lose_nor_double_anything(
    office: Office, start: Start
) -> None:
    """Two workers at a time, killed in the middle (DESIGN 6); the night storm does so at random."""
    await office.customers(6000, tags=["vip"])
    await office.customers(500, "blocked", tags=["vip"])
    await office.started("gift")
    start("scheduler")
    dice = random.Random(4)
    workers = [start("worker"), start("worker")]
    for goal in (1, 3000):
        await _until_given(office, goal)
        await asyncio.sleep(dice.uniform(0, 0.4))
        assert workers.pop(0).send(signal.SIGKILL) == -signal.SIGKILL
        workers.append(start("worker"))
    await _until_finished(office, "gift")
    (run,) = await office.runs("gift")
    assert (run["given"], run["points"]) == (6000, "60000.00")
    assert (run["customers"], run["skipped"], run["failed"]) == (6500, {"blocked": 500}, 0)
    spread = await office.superuser.fetchrow(SPREAD)
    assert tuple(spread or ()) == (6000, 1, 1)
    for worker in workers:
        assert worker.send(signal.SIGTERM) == 0


async def test_a_worker_that_is_asked_to_stop_ends_after_its_group(
    office: Office, start: Start
) -> None:
    await office.customers(8000, tags=["vip"])
    await office.started("gift")
    start("scheduler")
    worker = start("worker")
    await _until_given(office, 1)
    asked = time.monotonic()
    assert worker.send(signal.SIGTERM) == 0
    assert time.monotonic() - asked < 15
    given = await office.superuser.fetchval(COUNT)
    (run,) = await office.runs("gift")
    assert given < 8000
    assert (run["state"], run["given"]) == ("running", given)
    start("worker")
    await _until_finished(office, "gift")
    assert await office.superuser.fetchval(COUNT) == 8000


async def test_twenty_thousand_customers_and_what_they_cost(
    office: Office, start: Start, record_property: Callable[[str, object], None]
) -> None:
    """In bounded memory; the processor's time for each customer is reported."""
    await office.customers(20_000, tags=["vip"])
    await office.customers(20_000)
    await office.started("gift", expires={"after": "P30D"})
    worker = start("worker")
    await asyncio.sleep(4)  # It starts, and waits for messages.
    assert worker.log.count("error") == 0
    (process,) = (one for one in psutil.Process().children() if "worker" in one.cmdline())
    before, memory = _cpu(process), process.memory_info().rss
    start("scheduler")
    began = time.monotonic()
    await _until_finished(office, "gift", 300)
    took, cpu = time.monotonic() - began, _cpu(process) - before
    grown = (process.memory_info().rss - memory) >> 20
    told = f"{cpu / 20_000 * 1e6:.0f} us of processor, {took:.1f} s in all, {grown} MiB more"
    record_property("campaign", told)
    print(f"\n20,000 of 40,000 customers: {told}")
    (run,) = await office.runs("gift")
    assert (run["seen"], run["given"]) == (40_000, 20_000)
    assert grown < 150


def _cpu(process: psutil.Process) -> float:
    times = process.cpu_times()
    return float(times.user + times.system)
