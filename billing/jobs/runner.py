"""The worker's side of jobs: one of a kind at a time, in whichever worker comes first.

A worker that dies leaves its job running with a heartbeat that stands still; the next one begins
it anew. A worker that only fell behind finds its job in other hands and drops it.
"""

from __future__ import annotations

import asyncio
from collections.abc import Mapping
from contextlib import suppress
from typing import Any

import structlog

from billing.common.db import Database, is_away
from billing.common.errors import Overloaded, Problem
from billing.common.tasks import end
from billing.common.wire import encode
from billing.jobs import store
from billing.jobs.model import Claim, Progress, Work

BEAT_S = 2.0
TIME_LIMIT_S = 2 * 3600
WRITE_TIMEOUT_S = 30
"""A result may be a megabyte."""

log = structlog.stdlib.get_logger(__name__)


class JobRunner:
    """Works on the jobs of `kinds`."""

    def __init__(
        self,
        database: Database,
        kinds: Mapping[str, Work],
        *,
        beat_s: float = BEAT_S,
        time_limit_s: float = TIME_LIMIT_S,
    ) -> None:
        self._database = database
        self._kinds = kinds
        self._beat_s = beat_s
        self._time_limit_s = time_limit_s
        self._stopping = False

    def stop(self) -> None:
        """Take no more; what is being worked on goes back to the queue within a beat."""
        self._stopping = True

    async def run_all(self) -> int:
        """Work until nothing waits, or what waits cannot be done now; how many were ended."""
        ended = 0
        while not self._stopping:
            async with self._database.transaction() as tx:
                held = await store.claim(tx, list(self._kinds))
            if held is None or not await self._run(held):
                break
            ended += 1
        return ended

    async def _run(self, held: Claim) -> bool:
        """Carry out one job; False when it went back to the queue."""
        log.info("job_started", job=str(held.id), kind=held.kind)
        progress = Progress()
        work = asyncio.ensure_future(self._kinds[held.kind](progress, held.parameters))
        try:
            ours = await self._watch(held, work, progress)
        finally:
            if not work.done():
                await end(work)
        if not ours:
            log.info("job_dropped", job=str(held.id), because="cancelled, or in other hands")
            return True
        return await self._end(held, work, progress)

    async def _watch(self, held: Claim, work: asyncio.Future[Any], progress: Progress) -> bool:
        """Beat until the work is over or has to end; False when it is ours no more."""
        loop = asyncio.get_running_loop()
        until = loop.time() + self._time_limit_s
        while not self._stopping and loop.time() < until:
            await asyncio.wait([work], timeout=self._beat_s)
            if work.done():
                break
            # While the database is away nobody else can take the job either.
            with suppress(Overloaded):
                async with self._database.transaction() as tx:
                    ours = await store.beat(tx, held, progress)
                if not ours:
                    return False
        return True

    async def _end(self, held: Claim, work: asyncio.Future[Any], progress: Progress) -> bool:
        if work.cancelled():
            if self._stopping:
                return await self._release(held, "the worker stops")
            hours = f"{self._time_limit_s / 3600:g}"
            return await self._fail(held, f"It took more than {hours} hours; ask for less at once.")
        error = work.exception()
        if error is None:
            async with self._database.transaction(timeout_s=WRITE_TIMEOUT_S) as tx:
                await store.finish(tx, held, progress, encode(work.result()))
            log.info("job_done", job=str(held.id), kind=held.kind)
            return True
        if isinstance(error, Overloaded) or is_away(error):
            return await self._release(held, str(error))
        if isinstance(error, Problem):
            return await self._fail(held, error.detail)
        log.error("job_broke", job=str(held.id), kind=held.kind, exc_info=error)
        return await self._fail(held, "The fault is ours and was logged under the job's id.")

    async def _fail(self, held: Claim, error: str) -> bool:
        async with self._database.transaction() as tx:
            await store.fail(tx, held, error)
        log.info("job_failed", job=str(held.id), kind=held.kind, because=error)
        return True

    async def _release(self, held: Claim, because: str) -> bool:
        async with self._database.transaction() as tx:
            await store.release(tx, held)
        log.info("job_released", job=str(held.id), kind=held.kind, because=because)
        return False
