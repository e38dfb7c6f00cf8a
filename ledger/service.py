"""The ledger's door: commands in, results out; reads beside.

One `Ledger` lives in each process. Tills' commands go to lanes by customer; bulk work (batches,
campaigns, sweeps) has a lane of its own, so that a till does not queue behind a thousand others;
it shares the process, where long groups give others a turn.
"""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from datetime import UTC, datetime
from typing import Any, TypeAlias
from uuid import UUID

import asyncpg

from ledger import sql
from ledger.commands import Command
from ledger.connection import ImpatientConnection
from ledger.errors import Unavailable
from ledger.group import MOST_POSTINGS, Clock, Fate, Result, Swept
from ledger.lane import Lane
from ledger.load import Connection
from ledger.seals import era

TILL_GROUP_TIMEOUT_S = 3.0
"""A till gives up before; a lane that waits longer for a silent server only holds up the next."""
TILL_GROUP_POSTINGS = 5000
"""What a group may write well within that time, though its customers were not seen for years."""
REPORT_CONNECT_S = 0.8
"""Who waits behind a report that finds the database silent is told within two seconds, too."""

Pool: TypeAlias = "asyncpg.Pool[asyncpg.Record]"


def utc_now() -> datetime:
    """The clock of a ledger that was given no other."""
    return datetime.now(UTC)


class Ledger:
    """`async with Ledger(url) as ledger: await ledger.execute(command)`."""

    def __init__(
        self,
        url: str,
        *,
        lanes: int = 1,
        capacity: int = 4096,
        group_size: int = 256,
        group_postings: int = TILL_GROUP_POSTINGS,
        bulk_group_size: int = 1000,
        bulk_group_postings: int = MOST_POSTINGS,
        bulk_capacity: int = 100_000,
        readers: int = 4,
        reporters: int = 2,
        exporters: int = 2,
        connect_timeout_s: float = 1.0,
        clock: Clock = utc_now,
    ) -> None:
        self._url = url
        self._readers = readers
        self._reporters = reporters
        self._exporters = exporters
        self.exports = asyncio.Semaphore(exporters)
        self._connect_timeout_s = connect_timeout_s
        self.clock = clock
        self.most_together = bulk_group_postings
        """From so many postings on, commands are too many to happen together."""
        self.lanes = [
            Lane(
                self._connect,
                clock,
                capacity=capacity,
                group_size=group_size,
                group_postings=group_postings,
                group_timeout_s=TILL_GROUP_TIMEOUT_S,
            )
            for _ in range(lanes)
        ]
        self.bulk_lane = Lane(
            self._connect_bulk,
            clock,
            capacity=bulk_capacity,
            group_size=bulk_group_size,
            group_postings=bulk_group_postings,
        )
        self._pool: Pool | None = None
        self._report_pool: Pool | None = None
        self._export_pool: Pool | None = None

    async def __aenter__(self) -> Ledger:
        await self.start()
        return self

    async def __aexit__(self, *_: object) -> None:
        await self.close()

    async def start(self) -> None:
        """Start the lanes. The database may be away: commands then hear so."""
        self._pool = await self._read_pool(self._readers, "bonus reader", self._connect_timeout_s)
        patience_s = min(REPORT_CONNECT_S, self._connect_timeout_s)
        self._report_pool = await self._read_pool(
            self._reporters, "bonus reports", patience_s, _hear
        )
        self._export_pool = await self._read_pool(
            self._exporters, "bonus exports", patience_s, _hear
        )
        for lane in self._all_lanes():
            lane.start()

    async def close(self) -> None:
        """Drain: what was accepted is committed and answered, then the connections close."""
        await asyncio.gather(*(lane.close() for lane in self._all_lanes()))
        for pool in (self._pool, self._report_pool, self._export_pool):
            if pool is not None:
                await pool.close()

    @property
    def pool(self) -> Pool:
        """Connections for short reads."""
        if self._pool is None:
            raise RuntimeError("the ledger is not started")
        return self._pool

    @property
    def report_pool(self) -> Pool:
        """Connections for long reads, apart, so that reports never stand before the tills."""
        if self._report_pool is None:
            raise RuntimeError("the ledger is not started")
        return self._report_pool

    @property
    def export_pool(self) -> Pool:
        """Connections for reads of minutes, apart, so that exports never stand before reports;
        whoever has one holds `exports`."""
        if self._export_pool is None:
            raise RuntimeError("the ledger is not started")
        return self._export_pool

    async def execute(self, command: Command, timeout_s: float = 10.0) -> Result:
        """Carry out one command; back only after its commit.

        Raises Refusal (when the command keeps no answer), KeyReused, Unavailable (also when
        `timeout_s` is over: the command may still happen, its key will tell).
        """
        (future,) = self._lane(command.customer_id).submit([command])
        try:
            async with asyncio.timeout(timeout_s):
                return await future
        except TimeoutError:
            raise Unavailable(
                "No answer in time; it may still happen: repeat with the same key."
            ) from None

    async def execute_many(
        self, commands: Sequence[Command], timeout_s: float = 120.0
    ) -> list[Result | BaseException]:
        """Carry out many commands in order, in large groups; a fate each, in the same order."""
        futures = self.bulk_lane.submit(commands)
        try:
            async with asyncio.timeout(timeout_s):
                return await asyncio.gather(*futures, return_exceptions=True)
        except TimeoutError:
            raise Unavailable("No answer in time; repeat with the same keys.") from None

    async def execute_whole(
        self, commands: Sequence[Command], timeout_s: float = 120.0
    ) -> list[Fate]:
        """Carry out commands together in one database transaction.

        Raises Aborted, with the fates as they would have been, when one of them did not succeed,
        and TooLarge when some are left where a group has to end, at `most_together` postings.
        """
        future = self.bulk_lane.submit_whole(commands)
        try:
            async with asyncio.timeout(timeout_s):
                return await future
        except TimeoutError:
            raise Unavailable("No answer in time; repeat with the same keys.") from None

    async def sweep(self, limit: int, timeout_s: float = 120.0) -> Swept:
        """Bring up to `limit` due customers up to date: who they were, and a fate each.

        Whom another sweep or a till has locked is left to it. Raises Unavailable.
        """
        future = self.bulk_lane.submit_due(limit)
        try:
            async with asyncio.timeout(timeout_s):
                return await future
        except TimeoutError:
            raise Unavailable("No answer in time; what is due stays due.") from None

    def _lane(self, customer_id: UUID | None) -> Lane:
        if customer_id is None or len(self.lanes) == 1:
            return self.lanes[0]
        return self.lanes[customer_id.int % len(self.lanes)]

    def _all_lanes(self) -> list[Lane]:
        return [*self.lanes, self.bulk_lane]

    async def _read_pool(
        self,
        size: int,
        name: str,
        connect_timeout_s: float,
        setup: Any = None,
    ) -> Pool:
        return await asyncpg.create_pool(
            self._url,
            min_size=0,
            max_size=size,
            timeout=connect_timeout_s,
            command_timeout=30,
            connection_class=ImpatientConnection,
            setup=setup,
            server_settings={
                "role": "bonus_app",
                "application_name": name,
                "jit": "off",
                "default_transaction_read_only": "on",
            },
            reset=_leave_as_it_is,
        )

    async def _connect(self) -> Connection:
        return await self._connect_with(sql.LANE_SETTINGS)

    async def _connect_bulk(self) -> Connection:
        return await self._connect_with(sql.BULK_SETTINGS)

    async def _connect_with(self, settings: dict[str, str]) -> Connection:
        connection = await asyncpg.connect(
            self._url,
            timeout=self._connect_timeout_s,
            server_settings=settings,
            statement_cache_size=200,
            connection_class=ImpatientConnection,
        )
        try:
            async with asyncio.timeout(self._connect_timeout_s):
                await era.check(connection)
        except BaseException:
            connection.terminate()
            raise
        return connection


async def _hear(connection: Connection) -> None:
    """A long read may take its time, but a database that is away is to be told at once."""
    async with asyncio.timeout(REPORT_CONNECT_S):
        await connection.fetchval("SELECT 1")


async def _leave_as_it_is(connection: Connection) -> None:
    """Reads leave nothing behind in a session: a reset would only cost a round trip."""
