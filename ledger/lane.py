"""A lane: a bounded queue and one connection that commits it group by group.

While one group commits, the next one gathers; there is no timer, so a lone command never waits.
"""

from __future__ import annotations

import asyncio
import random
from collections import deque
from collections.abc import Awaitable, Callable, Sequence
from contextlib import suppress
from functools import partial
from typing import TypeVar
from uuid import UUID

import asyncpg
import structlog
from msgspec import Struct

from ledger.commands import Command, Fact
from ledger.errors import TooLarge, Unavailable
from ledger.group import (
    MOST_POSTINGS,
    Aborted,
    Clock,
    Fate,
    Result,
    Swept,
    Unwritable,
    run_due,
    run_group,
    sweep_of,
)
from ledger.load import Connection, Needs, taken_facts
from ledger.verdicts import AWAY, RACES, away, fate_of, is_repeatable, lost_race, rejected

_log = structlog.get_logger()

T = TypeVar("T")
Connect = Callable[[], Awaitable[Connection]]

_BUSY = """
SELECT customer_id FROM ledger.balances WHERE customer_id = ANY($1::uuid[])
EXCEPT
SELECT customer_id FROM (
    SELECT customer_id FROM ledger.balances WHERE customer_id = ANY($1::uuid[])
    FOR UPDATE SKIP LOCKED) AS free
"""

SHARING_GROUP = 64
"""Commands a group may hold that lock what all customers share, such as a budget: whoever waits
for it waits for one group."""

RETRIES = 6
"""Attempts at a group that lost a race (deadlock, serialization)."""


class _Job(Struct, frozen=True, eq=False):
    command: Command
    future: asyncio.Future[Result]


class _Whole(Struct, frozen=True, eq=False):
    """Commands that happen together or not at all, in a group of their own."""

    commands: Sequence[Command]
    future: asyncio.Future[list[Fate]]


class _Due(Struct, frozen=True, eq=False):
    """Up to `limit` customers to be brought up to date, whoever they are, in a group."""

    limit: int
    future: asyncio.Future[Swept]


class Lane:
    """Owns one connection. `submit` from any task of the lane's event loop."""

    def __init__(
        self,
        connect: Connect,
        clock: Clock,
        *,
        capacity: int,
        group_size: int,
        group_postings: int = MOST_POSTINGS,
        group_timeout_s: float = 30.0,
    ) -> None:
        self._connect = connect
        self._clock = clock
        self._capacity = capacity
        self._group_size = group_size
        self._group_postings = group_postings
        self._group_timeout_s = group_timeout_s
        self._queue: deque[_Job | _Whole | _Due] = deque()
        self._wake = asyncio.Event()
        self._depth = 0
        self._closing = False
        self._connection: Connection | None = None
        self._task: asyncio.Task[None] | None = None
        self.groups = 0
        self.commands = 0

    def start(self) -> None:
        self._task = asyncio.create_task(self._run(), name="ledger lane")

    async def close(self) -> None:
        """Take no more, finish what is queued, close the connection."""
        self._closing = True
        self._wake.set()
        if self._task is not None:
            await self._task
        await self._drop_connection()

    @property
    def depth(self) -> int:
        """Commands waiting for their group."""
        return self._depth

    def submit(self, commands: Sequence[Command]) -> list[asyncio.Future[Result]]:
        """Queue commands; all of them or none. Raises Unavailable when full or closing."""
        self._admit(len(commands))
        loop = asyncio.get_running_loop()
        jobs = [_Job(command, loop.create_future()) for command in commands]
        self._queue.extend(jobs)
        self._depth += len(jobs)
        self._wake.set()
        return [job.future for job in jobs]

    def submit_whole(self, commands: Sequence[Command]) -> asyncio.Future[list[Fate]]:
        """Queue commands that happen together, or the future raises Aborted or TooLarge and none
        did."""
        self._admit(len(commands))
        job = _Whole(commands, asyncio.get_running_loop().create_future())
        self._queue.append(job)
        self._depth += len(commands)
        self._wake.set()
        return job.future

    def submit_due(self, limit: int) -> asyncio.Future[Swept]:
        """Queue a sweep. The future raises Unavailable when the database is away."""
        self._admit(limit)
        job = _Due(limit, asyncio.get_running_loop().create_future())
        self._queue.append(job)
        self._depth += limit
        self._wake.set()
        return job.future

    def _admit(self, count: int) -> None:
        if self._closing:
            raise Unavailable("The service is shutting down; repeat with the same key.")
        if self.depth + count > self._capacity:
            raise Unavailable("Too many commands are waiting; repeat with the same key.")

    async def _run(self) -> None:
        while True:
            if not self._queue:
                if self._closing:
                    return
                self._wake.clear()
                await self._wake.wait()
                continue
            await self._gather()
            first = self._queue[0]
            if isinstance(first, _Whole):
                self._queue.popleft()
                self._depth -= len(first.commands)
                await self._commit_whole(first)
            elif isinstance(first, _Due):
                self._queue.popleft()
                self._depth -= first.limit
                await self._commit_due(first)
            else:
                await self._commit_all(self._next_group())

    async def _gather(self) -> None:
        """Let requests that are already here reach the queue: turns of the loop, never time."""
        seen = 0
        while seen < len(self._queue) < self._group_size:
            seen = len(self._queue)
            await asyncio.sleep(0)

    def _next_group(self) -> list[_Job]:
        jobs: list[_Job] = []
        sharing = 0
        while self._queue and len(jobs) < self._group_size:
            job = self._queue[0]
            if not isinstance(job, _Job) or sharing == SHARING_GROUP:
                break
            sharing += bool(job.command.shared)
            self._queue.popleft()
            self._depth -= 1
            # Whoever gave up waiting was told to repeat: nothing needs to happen now.
            if not job.future.done():
                jobs.append(job)
        return jobs

    async def _commit_whole(self, job: _Whole) -> None:
        if job.future.done():
            return
        try:
            fates = await self._attempt_group(job.commands, atomic=True)
        except Exception as error:
            if isinstance(error, AWAY):
                await self._drop_connection()
                error = away()
            elif not isinstance(error, Aborted | TooLarge):
                error = rejected(job.commands[0], error)
            if not job.future.done():
                job.future.set_exception(error)
            return
        self.groups += 1
        self.commands += len(job.commands)
        if not job.future.done():
            job.future.set_result(fates)

    async def _commit_all(self, jobs: Sequence[_Job]) -> None:
        """Commit a group. Nothing that goes wrong with one ends the lane."""
        try:
            await self._commit(jobs)
        except Exception:
            _log.exception("ledger_group_failed", commands=len(jobs))
            await self._drop_connection()
            for job in jobs:
                _tell(job, away())

    async def _commit(self, jobs: Sequence[_Job]) -> None:
        """Run a group to its end: everybody hears something, whatever happens."""
        while jobs:
            jobs = await self._commit_some(jobs)

    async def _commit_some(self, jobs: Sequence[_Job]) -> Sequence[_Job]:
        """Run a group; those it left for the next one."""
        try:
            fates = await self._attempt_group([job.command for job in jobs])
        except AWAY as error:
            await self._drop_connection()
            _log.warning("database_away", error=repr(error), commands=len(jobs))
            fates = [away()] * len(jobs)
        except Exception as error:
            if len(jobs) > 1 and isinstance(error, asyncpg.LockNotAvailableError):
                busy, taken = await self._busy(jobs)
                free = [
                    job
                    for job in jobs
                    if not Needs([job.command]).customers & busy
                    and taken.isdisjoint(job.command.shared)
                ]
                for job in jobs:
                    if job not in free:
                        _tell(job, rejected(job.command, error))
                if busy or taken:
                    return free
            if len(jobs) > 1:
                half = len(jobs) // 2
                await self._commit(jobs[:half])
                return jobs[half:]
            fates = [rejected(jobs[0].command, error)]
        except BaseException:
            for job in jobs:
                _tell(job, Unavailable("The ledger stopped; repeat with the same key."))
            await self._drop_connection()
            raise
        self.groups += 1
        self.commands += len(fates)
        for job, fate in zip(jobs, fates, strict=False):
            _tell(job, fate)
        return jobs[len(fates) :]

    async def _busy(self, jobs: Sequence[_Job]) -> tuple[set[UUID], set[Fact]]:
        """The customers of `jobs`, and the shared facts, that somebody else holds locked."""
        needs = Needs(job.command for job in jobs)
        connection = await self._connected()
        async with connection.transaction():
            rows = await connection.fetch(_BUSY, list(needs.customers))
            taken = await taken_facts(connection, needs.facts)
        return {row[0] for row in rows}, taken

    async def _commit_due(self, job: _Due) -> None:
        """Sweep. When the database rejects a customer, all are swept again, split as usual."""
        if job.future.done():
            return
        try:
            swept = await self._attempt(partial(self._run_due, job.limit), repeatable=True)
        except Unwritable as error:
            swept = error.customers, await self._each_of(error.customers)
        except Exception as error:
            await self._drop_connection()
            if not job.future.done():
                job.future.set_exception(away() if isinstance(error, AWAY) else error)
            return
        else:
            self.groups += 1
            self.commands += len(swept[0])
        if not job.future.done():
            job.future.set_result(swept)

    async def _run_due(self, limit: int, connection: Connection) -> Swept:
        return await run_due(connection, limit, self._clock, most=self._group_postings)

    async def _each_of(self, customers: Sequence[UUID]) -> list[Fate]:
        loop, now = asyncio.get_running_loop(), self._clock()
        jobs = [_Job(sweep_of(one, now), loop.create_future()) for one in customers]
        await self._commit_all(jobs)
        return [fate_of(job.future) for job in jobs]

    async def _attempt_group(
        self, commands: Sequence[Command], *, atomic: bool = False
    ) -> list[Fate]:
        async def run(connection: Connection) -> list[Fate]:
            return await run_group(
                connection, commands, self._clock, most=self._group_postings, atomic=atomic
            )

        return await self._attempt(run, repeatable=all(map(is_repeatable, commands)))

    async def _attempt(self, run: Callable[[Connection], Awaitable[T]], *, repeatable: bool) -> T:
        """Run a group, again after a lost race, and once more after a lost connection.

        A lost connection may have lost its commit's answer only: keys tell, on the new one.
        """
        reconnected = self._connection is None
        attempt = 0
        while True:
            try:
                connection = await self._connected()
                async with asyncio.timeout(self._group_timeout_s):
                    return await run(connection)
            except (*RACES, asyncpg.UniqueViolationError) as error:
                attempt += 1
                if attempt == RETRIES or not lost_race(error):
                    raise
                await asyncio.sleep(random.uniform(0, 0.01 * 2**attempt))  # noqa: S311
            except asyncpg.InterfaceError as error:
                if self._connection is not None and not self._connection.is_closed():
                    # Not lost: the driver refuses what it was given, such as a row too wide.
                    raise ValueError(str(error)) from error
                await self._drop_connection()
                if reconnected or not repeatable:
                    raise
                reconnected = True
            except AWAY:
                await self._drop_connection()
                if reconnected or not repeatable:
                    raise
                reconnected = True

    async def _connected(self) -> Connection:
        if self._connection is None or self._connection.is_closed():
            self._connection = await self._connect()
        return self._connection

    async def _drop_connection(self) -> None:
        connection, self._connection = self._connection, None
        if connection is not None and not connection.is_closed():
            with suppress(Exception):
                connection.terminate()


def _tell(job: _Job, fate: Fate) -> None:
    if job.future.done():
        return
    if isinstance(fate, Result):
        job.future.set_result(fate)
    else:
        job.future.set_exception(fate)
