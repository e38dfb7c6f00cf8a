"""A house at night: workers, schedulers and a subscriber, a clock that is not to be trusted, and
what befalls them."""

from __future__ import annotations

import asyncio
import os
import signal
from collections.abc import Awaitable, Callable
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from pathlib import Path
from random import Random

import asyncpg
import redis

from tests.integrations.webhooks.receiver import OK, Message, status
from tests.soak import house as houses
from tests.soak.house import House
from tests.workers.conftest import Process
from tests.workers.test_processes import LEADER

CLOCK = Path(__file__).parent / "clock"
HOUR = 3600.0
DAY = 24 * HOUR
WEEK = 7 * DAY
ASLEEP_S = 2.0


@dataclass
class Clock:
    """The clock of all processes of a house: ahead of the real one by what its file says."""

    place: Path
    ahead_s: float = 0.0

    def __call__(self) -> datetime:
        return datetime.now(UTC) + timedelta(seconds=self.ahead_s)

    def jump(self, seconds: float) -> None:
        self.ahead_s += seconds
        new = self.place.with_suffix(".new")
        new.write_text(str(self.ahead_s))
        new.replace(self.place)

    def environ(self) -> dict[str, str]:
        return {"PYTHONPATH": str(CLOCK), "BONUS_TEST_CLOCK": str(self.place)}


@dataclass
class Night:
    """Two workers and two schedulers, always."""

    house: House
    folder: Path
    clock: Clock
    workers: list[Process] = field(default_factory=list)
    schedulers: list[Process] = field(default_factory=list)
    started: int = 0

    def start(self, name: str) -> None:
        self.started += 1
        log = self.folder / f"{name}-{self.started}.log"
        kind = self.workers if name == "worker" else self.schedulers
        kind.append(Process(name, dict(self.house.serving.environ), log))

    def end(self) -> None:
        for process in (*self.workers, *self.schedulers):
            process.send(signal.SIGKILL)

    def replace(self, name: str, number: int, how: signal.Signals = signal.SIGKILL) -> None:
        kind = self.workers if name == "worker" else self.schedulers
        kind.pop(number).send(how)
        self.start(name)


async def kill_worker(night: Night, chance: Random) -> None:
    await asyncio.to_thread(night.replace, "worker", chance.randrange(2))


async def stop_worker(night: Night, chance: Random) -> None:
    """As an upgrade does it: it finishes its groups."""
    await asyncio.to_thread(night.replace, "worker", 0, signal.SIGTERM)


async def kill_scheduler(night: Night, chance: Random) -> None:
    await asyncio.to_thread(night.replace, "scheduler", chance.randrange(2))


async def depose_scheduler(night: Night, chance: Random) -> None:
    """Two schedulers at once: the one that leads loses its lock, and goes on living."""
    superuser = await asyncpg.connect(night.house.database)
    await superuser.execute(f"SELECT pg_terminate_backend(pid) FROM ({LEADER}) AS leader")
    await superuser.close()


async def flush_redis(night: Night, chance: Random) -> None:
    client = redis.Redis.from_url(night.house.redis.url)
    await asyncio.to_thread(client.flushall)
    client.close()


async def restart_redis(night: Night, chance: Random) -> None:
    await houses.restart_redis(night.house, chance)


async def crash_postgres(night: Night, chance: Random) -> None:
    await houses.crash_postgres(night.house, chance)


async def restart_postgres(night: Night, chance: Random) -> None:
    await houses.restart_postgres(night.house, chance)


async def sleep_for_a_week(night: Night, chance: Random) -> None:
    """A worker stands still in whatever it does, and a week goes by for all."""
    asleep = chance.choice(night.workers).pid
    os.kill(asleep, signal.SIGSTOP)
    night.clock.jump(WEEK)
    await asyncio.sleep(ASLEEP_S)
    os.kill(asleep, signal.SIGCONT)


async def all_sleep_for_a_week(night: Night, chance: Random) -> None:
    for worker in night.workers:
        os.kill(worker.pid, signal.SIGSTOP)
    night.clock.jump(WEEK)
    await asyncio.sleep(ASLEEP_S)
    for worker in night.workers:
        os.kill(worker.pid, signal.SIGCONT)


async def put_clock_forward(night: Night, chance: Random) -> None:
    night.clock.jump(HOUR)


async def put_clock_back(night: Night, chance: Random) -> None:
    night.clock.jump(-HOUR)


Trouble = Callable[[Night, Random], Awaitable[None]]
TROUBLES: list[Trouble] = [
    kill_worker,
    flush_redis,
    kill_scheduler,
    put_clock_back,
    crash_postgres,
    depose_scheduler,
    sleep_for_a_week,
    restart_redis,
    put_clock_forward,
    restart_postgres,
    stop_worker,
    all_sleep_for_a_week,
]


@dataclass
class Subscriber:
    """Answers slowly, with 500, not at all, and mostly well; `accepted` is what it said yes to."""

    chance: Random
    well: bool = False
    accepted: list[Message] = field(default_factory=list)

    async def __call__(self, message: Message, writer: asyncio.StreamWriter) -> None:
        dice = 1.0 if self.well else self.chance.random()
        if dice < 0.04:
            await status(500)(message, writer)
        elif dice < 0.08:
            writer.close()
        else:
            if dice < 0.12:
                await asyncio.sleep(0.3)
            self.accepted.append(message)
            await OK(message, writer)
