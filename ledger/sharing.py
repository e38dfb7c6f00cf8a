"""Reading jobs that several connections share, all of one snapshot.

One process does the work, so it goes no faster than that can; but while it looks at what one
connection brought, the server is at work for another.
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Sequence
from contextlib import AsyncExitStack
from typing import Final

from ledger.load import Connection

Job = Callable[[Connection], Awaitable[None]]

_EXPORT: Final = "SELECT pg_export_snapshot()"


async def share(connection: Connection, beside: Sequence[Connection], jobs: Sequence[Job]) -> None:
    """Do all jobs, each on one of the connections, the first one first.

    `connection` is within a transaction of one snapshot; those `beside` are in none. When a job
    fails, so does this, and no other goes on.
    """
    waiting = list(reversed(jobs))

    async def work(on: Connection) -> None:
        while waiting:
            await waiting.pop()(on)

    async with AsyncExitStack() as stack:
        if beside:
            snapshot = await connection.fetchval(_EXPORT)
        for one in beside:
            await stack.enter_async_context(
                one.transaction(isolation="repeatable_read", readonly=True)
            )
            await one.execute(f"SET TRANSACTION SNAPSHOT '{snapshot}'")
        tasks = [asyncio.ensure_future(work(on)) for on in (connection, *beside)]
        try:
            await asyncio.gather(*tasks)
        finally:
            for task in tasks:
                task.cancel()
            await asyncio.gather(*tasks, return_exceptions=True)
