"""What breaks, and how: the servers of one house, and the faults that befall them."""

from __future__ import annotations

import asyncio
import os
import signal
from collections.abc import Awaitable, Callable
from contextlib import suppress
from dataclasses import dataclass, field
from random import Random
from typing import Literal

import httpx
import psutil

from billing.common.embedded import EmbeddedPostgres, EmbeddedRedis
from tests.acceptance.serving import Serving

SILENCE_S = 3.0


@dataclass
class House:
    """`database` is the superuser's URL."""

    postgres: EmbeddedPostgres
    redis: EmbeddedRedis
    serving: Serving
    database: str
    key: str = ""
    customers: list[str] = field(default_factory=list)

    def client(self, timeout_s: float = 30) -> httpx.AsyncClient:
        return httpx.AsyncClient(
            base_url=self.serving.url,
            headers={"authorization": f"Bearer {self.key}"},
            timeout=timeout_s,
        )

    async def stop_postgres(self, mode: Literal["fast", "immediate"]) -> None:
        await asyncio.to_thread(self.postgres.stop, mode)

    async def start_postgres(self) -> None:
        await asyncio.to_thread(self.postgres.start)

    def silence(self, number: signal.Signals) -> None:
        """SIGSTOP or SIGCONT for every process of PostgreSQL."""
        assert self.postgres.pid is not None
        server = psutil.Process(self.postgres.pid)
        for process in [server, *server.children(recursive=True)]:
            with suppress(psutil.NoSuchProcess):
                process.send_signal(number)


async def kill_api(house: House, chance: Random) -> None:
    """kill -9 of all of `bonus serve`, and after a while another one."""
    await asyncio.to_thread(house.serving.kill)
    await asyncio.sleep(chance.uniform(0, 1))
    house.serving.start()


async def kill_worker(house: House, chance: Random) -> None:
    """kill -9 of the process that serves; it is replaced by itself."""
    house.serving.kill_worker()


async def crash_postgres(house: House, chance: Random) -> None:
    await house.stop_postgres("immediate")
    await asyncio.sleep(chance.uniform(0, 3))
    await house.start_postgres()


async def restart_postgres(house: House, chance: Random) -> None:
    await house.stop_postgres("fast")
    await asyncio.sleep(chance.uniform(0, 3))
    await house.start_postgres()


async def kill_backend(house: House, chance: Random) -> None:
    """kill -9 of a session: PostgreSQL then ends all others and recovers."""
    assert house.postgres.pid is not None
    sessions = [
        process.pid
        for process in psutil.Process(house.postgres.pid).children()
        if "bonus" in " ".join(process.cmdline())
    ]
    if sessions:
        os.kill(chance.choice(sessions), signal.SIGKILL)


async def freeze_postgres(house: House, chance: Random) -> None:
    """PostgreSQL says nothing for a while, as on a disk that hangs."""
    house.silence(signal.SIGSTOP)
    await asyncio.sleep(SILENCE_S)
    house.silence(signal.SIGCONT)


async def restart_redis(house: House, chance: Random) -> None:
    await asyncio.to_thread(house.redis.stop)
    await asyncio.sleep(chance.uniform(0, 2))
    await asyncio.to_thread(house.redis.start)


Fault = Callable[[House, Random], Awaitable[None]]
FAULTS: list[Fault] = [
    kill_api,
    crash_postgres,
    freeze_postgres,
    kill_backend,
    restart_postgres,
    kill_worker,
    restart_redis,
]
