"""Sealing and auditing: postings per second of processor time, ours and the server's together.

Processor time, not the clock's: it says what one core does, whatever else the machine is at.
"""

from __future__ import annotations

import time
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager

import asyncpg
import psutil  # type: ignore[import-untyped]

from bench import growth
from bench.house import Database
from ledger.audit import audit
from ledger.seals.sealing import seal
from ledger.service import utc_now

Add = Callable[[str, list[float], str, str], object]


@asynccontextmanager
async def _one_core(database: Database) -> AsyncIterator[tuple[asyncpg.Connection, psutil.Process]]:  # type: ignore[type-arg]
    """A connection without parallel workers, whose time would not be counted."""
    connection = await asyncpg.connect(
        database.owner_url, server_settings={"max_parallel_workers_per_gather": "0"}
    )
    try:
        yield connection, psutil.Process(connection.get_server_pid())
    finally:
        await connection.close()


async def _seconds(work: Awaitable[object], *servers: psutil.Process) -> float:
    """Processor time of this process and of its servers while `work` is done."""

    def spent() -> float:
        return sum(sum(one.cpu_times()[:2]) for one in servers) + time.process_time()

    before = spent()
    await work
    return spent() - before


async def measure(add: Add, database: Database, postings: int) -> None:
    """Fill a ledger, seal it, and audit all of it."""
    count = await growth.grow(database, postings)
    async with _one_core(database) as (reader, a), _one_core(database) as (writer, b):
        sealed = await _seconds(seal(reader, writer, utc_now), a, b)
    add(f"seal {count:,} postings and their answers", [count / sealed], "postings/s a core", "")
    async with _one_core(database) as (connection, server):
        audited = await _seconds(_clean(connection), server)
    add(f"audit {count:,} postings: chains, histories, all", [count / audited], "/s a core", "")


async def _clean(connection: asyncpg.Connection) -> None:  # type: ignore[type-arg]
    report = await audit(connection)
    if not report.clean:
        raise RuntimeError(f"the audit found {report.findings[:3]}")
