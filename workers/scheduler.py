"""The scheduler: sends the messages that are due by the clock, and does nothing else.

Any number may run; the one that holds an advisory lock sends. The lock lives in a connection:
when that breaks, sending stops until it is held again, here or elsewhere.
"""

from __future__ import annotations

import asyncio
import signal
from contextlib import suppress
from datetime import UTC, datetime
from typing import TypeAlias

import asyncpg
import redis
import structlog
from apscheduler.schedulers.asyncio import AsyncIOScheduler
from apscheduler.triggers.interval import IntervalTrigger
from dramatiq.brokers.redis import RedisBroker

from billing.common.db import connect, is_away
from billing.common.settings import Settings
from billing.work.store import LEAVE, SEE, process_row
from workers.presence import seen, this_process
from workers.redis import NAMESPACE, Presence
from workers.schedule import EVERY_S
from workers.waking import QUEUE, make_sender, send

ADVISORY_LOCK = 0x626F6E7573_02
"""One scheduler at a time on a database: "bonus", 2."""
LOOK_EVERY_S = 5
ANSWER_TIMEOUT_S = 5
SILENT_S = 20
"""A scheduler that says nothing for so long loses its connection, and with it the lock: one that
only stopped, as its machine did, must not keep others from sending."""
MAX_QUEUED = 1000
"""When so many messages wait, nobody works: more of them would wake nobody."""

Connection: TypeAlias = "asyncpg.Connection[asyncpg.Record]"

_log = structlog.get_logger("workers.scheduler")


async def run_scheduler(settings: Settings) -> None:
    """Send, while we hold the lock, until SIGTERM or SIGINT."""
    stop = asyncio.Event()
    loop = asyncio.get_running_loop()
    for number in (signal.SIGTERM, signal.SIGINT):
        loop.add_signal_handler(number, stop.set)
    sender = make_sender(settings.redis_url)
    schedule = _schedule(sender)
    myself = _Myself()
    away = False
    while not stop.is_set():
        try:
            await _lead(settings.database_url, schedule, myself, stop)
            away = False
        except Exception as error:
            if not is_away(error):
                raise
            if not away:
                _log.warning("database_away", error=str(error), consequence="nothing is sent")
            away = True
            await _sleep(stop)
    sender.close()


def _schedule(sender: RedisBroker) -> AsyncIOScheduler:
    presence = Presence()

    def send_unless_full(actor: str) -> None:
        try:
            if sender.client.llen(f"{NAMESPACE}:{QUEUE}") < MAX_QUEUED:
                send(sender, actor)
        except redis.RedisError as error:
            presence.is_away(error)
        else:
            presence.is_there()

    schedule = AsyncIOScheduler(timezone=UTC)
    for actor, every_s in EVERY_S.items():
        schedule.add_job(
            send_unless_full,
            IntervalTrigger(seconds=every_s),
            args=[actor],
            next_run_time=datetime.now(UTC),
            coalesce=True,
            max_instances=1,
            misfire_grace_time=None,
        )
    return schedule


def hurry(schedule: AsyncIOScheduler, now: datetime) -> None:
    """Send at once what is planned for later than its interval: the clock was set back."""
    for job in schedule.get_jobs():
        planned = job.next_run_time
        if planned is not None and planned - now > job.trigger.interval:
            job.modify(next_run_time=now)


class _Myself:
    """This scheduler, as operators see it."""

    def __init__(self) -> None:
        self._process = this_process("scheduler")

    async def show(self, connection: Connection, *, leads: bool) -> None:
        self._process = seen(self._process, leads=leads)
        await connection.execute(SEE, *process_row(self._process), timeout=ANSWER_TIMEOUT_S)

    async def leave(self, connection: Connection) -> None:
        await connection.execute(LEAVE, self._process.id, timeout=ANSWER_TIMEOUT_S)


async def _lead(url: str, schedule: AsyncIOScheduler, myself: _Myself, stop: asyncio.Event) -> None:
    """Hold the lock and send. Raises what the connection raises when it breaks."""
    connection = await connect(url, application="bonus-scheduler")
    try:
        await connection.execute(
            f"SET idle_session_timeout = '{SILENT_S}s'", timeout=ANSWER_TIMEOUT_S
        )
        if await _take_lock(connection, myself, stop):
            _log.info("scheduler_leads")
            schedule.resume() if schedule.running else schedule.start()
        while not stop.is_set():
            await myself.show(connection, leads=True)
            hurry(schedule, datetime.now(UTC))
            await _sleep(stop)
        await myself.leave(connection)
    finally:
        if schedule.running:
            schedule.pause()
        connection.terminate()


async def _take_lock(connection: Connection, myself: _Myself, stop: asyncio.Event) -> bool:
    """Wait for our turn; False when we were asked to stop meanwhile."""
    waiting = False
    while not stop.is_set():
        if await connection.fetchval(
            "SELECT pg_try_advisory_lock($1)", ADVISORY_LOCK, timeout=ANSWER_TIMEOUT_S
        ):
            return True
        if not waiting:
            _log.info("scheduler_waits", because="another one holds the lock")
        waiting = True
        await myself.show(connection, leads=False)
        await _sleep(stop)
    return False


async def _sleep(stop: asyncio.Event) -> None:
    with suppress(TimeoutError):
        await asyncio.wait_for(stop.wait(), LOOK_EVERY_S)
