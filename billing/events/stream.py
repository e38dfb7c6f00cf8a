"""A consumer's way along the stream of events.

What it did with a chunk and its new place are committed together: whatever is killed, each event
is dealt with once. Consumers do not know of each other.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Sequence
from typing import Final

from sqlalchemy.ext.asyncio import AsyncConnection

from billing.common.db import Database, driver_of
from billing.events import reading
from billing.events.model import Event
from billing.events.reading import AT_ONCE
from ledger.group import Clock
from ledger.service import utc_now

CHUNK: Final = 500
"""Transactions of the journal read at a time, and whatever else was committed with the last one."""
TIMEOUT_S: Final = 60.0

Wanted = Callable[[AsyncConnection], Awaitable[bool]]
Take = Callable[[AsyncConnection, Sequence[Event]], Awaitable[None]]


class CursorAhead(Exception):
    """The journal was brought into a server that counts transactions anew."""

    def __init__(self, consumer: str, cursor: int, horizon: int) -> None:
        super().__init__(
            f"The consumer {consumer!r} has read up to transaction {cursor}, but this server has "
            f"only come to {horizon}: the database was restored into a new server. Run "
            "`bonus migrate`, which lets the journal go on in its order."
        )


class Stream:
    """The events as one consumer reads them, from the moment it first asked, or `reading.begin`
    was called for it.

    `wanted` tells whether anybody cares for what comes now; if not, it is passed over. `take`
    does what is to be done with a chunk, at most `at_once` of its events at a time, in the
    transaction it is given.
    """

    def __init__(
        self,
        database: Database,
        consumer: str,
        *,
        wanted: Wanted,
        take: Take,
        clock: Clock = utc_now,
        chunk: int = CHUNK,
        at_once: int = AT_ONCE,
    ) -> None:
        self._database = database
        self._consumer = consumer
        self._wanted = wanted
        self._take = take
        self._clock = clock
        self._chunk = chunk
        self._at_once = at_once

    async def advance(self) -> bool:
        """Deal with the next chunk; whether there was one.

        Any number may call it side by side: one advances, for the others there is nothing. Raises
        Overloaded when the database is away, CursorAhead.
        """
        if not await reading.is_news(self._database, self._consumer):
            return False
        async with self._database.transaction(timeout_s=TIMEOUT_S) as tx:
            if not await reading.lead(tx, self._consumer):
                return False
            cursor, horizon = await reading.position(tx, self._consumer)
            if cursor is None:
                await reading.move(tx, self._consumer, horizon, self._clock())
                return False
            if cursor > horizon:
                raise CursorAhead(self._consumer, cursor, horizon)
            if not await reading.is_anything(tx, cursor, horizon):
                return False
            if await self._wanted(tx):
                until = await reading.bound(tx, cursor, horizon, self._chunk)
                driver = await driver_of(tx)
                async for events in reading.read(driver, cursor, until, at_once=self._at_once):
                    await self._take(tx, events)
            else:
                until = horizon
            await reading.move(tx, self._consumer, until, self._clock())
        return True
