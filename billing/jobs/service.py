"""Asking for long work, and looking how far it is."""

from __future__ import annotations

from collections.abc import Callable
from uuid import UUID

from sqlalchemy.ext.asyncio import AsyncConnection

from billing.common.auth import Principal
from billing.common.db import Database
from billing.common.errors import NotFound, Overloaded
from billing.jobs import store
from billing.jobs.model import Job
from ledger.ids import uuid7

MAX_WAITING = 20
"""Jobs of one kind that may wait their turn."""
RETRY_AFTER_S = 60


class Jobs:
    """`wake` tells workers that there is something to do. It must not wait; it may be in vain."""

    def __init__(self, database: Database, wake: Callable[[], None]) -> None:
        self._database = database
        self.wake = wake

    async def create(self, kind: str, parameters: object, author: str) -> Job:
        """Queue a job. Raises Overloaded when too many of its kind wait."""
        async with self._database.transaction() as tx:
            job_id = await self.queue(tx, kind, parameters, author)
        self.wake()
        return await self._read(job_id)

    async def queue(self, tx: AsyncConnection, kind: str, parameters: object, author: str) -> UUID:
        """As `create`, in the caller's transaction, who then lets workers `wake`."""
        if await store.count_waiting(self._database, kind, MAX_WAITING) >= MAX_WAITING:
            raise Overloaded(
                f"{MAX_WAITING} jobs of the kind {kind!r} wait already; cancel some, or wait.",
                RETRY_AFTER_S,
            )
        job_id = uuid7()
        await store.insert(tx, job_id, kind, parameters, author)
        return job_id

    async def read(self, job_id: UUID, principal: Principal) -> Job:
        """A job. Raises NotFound, and Forbidden for a key bound to another place."""
        job = await self._read(job_id)
        principal.covers(job.parameters.get("channel"), job.parameters.get("store"))
        return job

    async def cancel(self, job_id: UUID, principal: Principal) -> Job:
        """End a job; one that is over already stays as it is."""
        await self.read(job_id, principal)
        async with self._database.transaction() as tx:
            await store.cancel(tx, job_id)
        return await self._read(job_id)

    async def _read(self, job_id: UUID) -> Job:
        job = await store.read(self._database, job_id)
        if job is None:
            raise NotFound(f"There is no job {job_id}.")
        return job
