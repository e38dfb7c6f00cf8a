"""Processor time of this process and of a server's, to the microsecond.

Processor time, not the clock's: it says what one core does, whatever else the machine is at.
"""

from __future__ import annotations

import time
from collections.abc import AsyncIterator, Awaitable
from contextlib import asynccontextmanager
from pathlib import Path

import asyncpg
import psutil

from bench.house import Database


class Processor:
    """What this process and backends have spent, with the workers that read pages for them."""

    def __init__(self, *backends: asyncpg.Connection) -> None:  # type: ignore[type-arg]
        self._pids = [one.get_server_pid() for one in backends]
        siblings = psutil.Process(self._pids[0]).parent().children()
        self._pids += [one.pid for one in siblings if "io worker" in " ".join(one.cmdline())]

    def client(self) -> float:
        """Seconds of this process."""
        return time.process_time()

    def servers(self) -> float:
        """Seconds of the server's processes."""
        return sum(_nanoseconds(pid) for pid in self._pids) / 1e9

    async def spent(self, work: Awaitable[object]) -> tuple[float, float]:
        """Seconds of this process, and of the server's, while `work` is done."""
        client, servers = self.client(), self.servers()
        await work
        return self.client() - client, self.servers() - servers


@asynccontextmanager
async def alone(database: Database) -> AsyncIterator[asyncpg.Connection]:  # type: ignore[type-arg]
    """A connection without parallel workers, whose time would not be counted."""
    connection = await asyncpg.connect(
        database.owner_url, server_settings={"max_parallel_workers_per_gather": "0"}
    )
    try:
        yield connection
    finally:
        await connection.close()


def _nanoseconds(pid: int) -> int:
    return int(Path(f"/proc/{pid}/schedstat").read_text(encoding="ascii").split()[0])
