"""A consumer that writes down what it was told, in the transaction it was told in."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any
from uuid import UUID

import msgspec
from sqlalchemy import text
from sqlalchemy.ext.asyncio import AsyncConnection

from billing.common.db import Database
from billing.events.model import Event
from billing.events.reading import AT_ONCE
from billing.events.stream import CHUNK, Stream
from tests.ledger.conftest import Clock


class Killed(Exception):
    """The consumer dies in the middle of its work."""


class Consumer:
    """What was told and committed is in the database; `told` is what it heard of, too."""

    def __init__(
        self, database: Database, clock: Clock, name: str = "test", chunk: int = CHUNK,
        at_once: int = AT_ONCE,
    ) -> None:  # fmt: skip
        self.database = database
        self.name = name
        self.told: list[Event] = []
        self.most = 0
        self.wants = True
        self.dies = False
        self.stream = Stream(
            database, name, wanted=self._wanted, take=self._take, clock=clock, chunk=chunk,
            at_once=at_once,
        )  # fmt: skip

    async def catch_up(self) -> list[Event]:
        """Read all there is; what was told."""
        before = len(self.told)
        while await self.stream.advance():
            pass
        return self.told[before:]

    async def types(self) -> list[str]:
        return [event.type for event in await self.catch_up()]

    async def committed(self) -> list[UUID]:
        rows = await self.database.fetch(
            "SELECT source::uuid FROM ledger.sources WHERE source LIKE '________-%'"
        )
        return [row[0] for row in rows]

    async def _wanted(self, tx: AsyncConnection) -> bool:
        return self.wants

    async def _take(self, tx: AsyncConnection, events: Sequence[Event]) -> None:
        self.told += events
        self.most = max(self.most, len(events))
        for event in events:
            # Any table would do that refuses what is there already.
            await tx.execute(
                text(
                    "INSERT INTO ledger.sources SELECT CAST(id AS text), id, id"
                    " FROM unnest(CAST(:ids AS uuid[])) AS id"
                ),
                {"ids": [event.id]},
            )
        if self.dies:
            raise Killed


def data_of(event: Event) -> dict[str, Any]:
    found: dict[str, Any] = msgspec.json.decode(event.data)
    return found
