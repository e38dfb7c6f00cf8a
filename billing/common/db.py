"""The database as features use it: short reads, and transactions that end visibly.

A database that is away, restarting or too slow becomes `Overloaded` (503 with Retry-After);
the next request finds it again without a restart of ours.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager, contextmanager
from typing import Any, cast

import asyncpg
from sqlalchemy import event
from sqlalchemy.exc import DBAPIError, DisconnectionError
from sqlalchemy.exc import TimeoutError as PoolTimeout
from sqlalchemy.ext.asyncio import AsyncConnection, AsyncEngine, create_async_engine
from sqlalchemy.pool import ConnectionPoolEntry

from billing.common import deadline
from billing.common.errors import Overloaded

CONNECT_TIMEOUT_S = 1.0
POOL_TIMEOUT_S = 0.8
IDLE_TIMEOUT_S = 150
"""After so long PostgreSQL ends a transaction whose process says nothing: one that was stopped, or
whose machine is gone, would else hold its locks, and readers of the journal, for hours."""

ANSWER_TIMEOUT_S = deadline.PATIENCE_S
APPLICATION_ROLE = "bonus_app"

_COME_AGAIN = (*("08", "53", "57P", "57014", "25006", "25P03", "40001", "40P01", "55P03", "XX000"),)
"""SQLSTATEs, or their classes: connection lost, out of resources, shutting down, cancelled, a
standby, silent for too long, serialization failure (on Citus XX000), deadlock, lock not
available."""


async def connect(
    url: str,
    *,
    role: str | None = APPLICATION_ROLE,
    application: str = "bonus",
    idle_s: int | None = None,
) -> asyncpg.Connection[Any]:
    """A connection of its own. `role=None` keeps the rights of the URL's user (the owner's).
    A transaction that says nothing for `idle_s` is ended."""
    settings = _server_settings(role, application)
    if idle_s is not None:
        settings["idle_in_transaction_session_timeout"] = f"{idle_s}s"
    return await asyncpg.connect(url, timeout=CONNECT_TIMEOUT_S, server_settings=settings)


class Database:
    """Connections with the application's rights: for reads the driver's own pool, whose look-ups
    may be cut off at any moment, and an engine for transactions."""

    def __init__(
        self,
        url: str,
        *,
        role: str | None = APPLICATION_ROLE,
        application: str = "bonus-api",
        size: int = 10,
        idle_s: int = IDLE_TIMEOUT_S,
    ) -> None:
        async def open_one() -> asyncpg.Connection[Any]:
            return await connect(url, role=role, application=application, idle_s=idle_s)

        self.engine: AsyncEngine = create_async_engine(
            "postgresql+asyncpg://",
            async_creator=open_one,
            pool_size=size,
            max_overflow=0,
            pool_timeout=POOL_TIMEOUT_S,
            pool_use_lifo=True,
        )
        event.listen(self.engine.sync_engine, "checkout", _refuse_closed)
        self._settings = _server_settings(role, f"{application}-reads")
        self._url = url
        self._size = size
        self._readers: asyncpg.Pool[asyncpg.Record] | None = None

    async def fetch(
        self, query: str, *args: object, timeout_s: float | None = None
    ) -> list[asyncpg.Record]:
        """One statement in one round trip, outside a transaction. `$1`, `$2` … in `query`.

        Without `timeout_s` it has what is left of the request's time.
        """
        with overloaded_when_away():
            async with asyncio.timeout(deadline.left() if timeout_s is None else timeout_s):
                pool = await self._pool()
                connection = await pool.acquire()
                try:
                    return await connection.fetch(query, *args)
                except (asyncio.CancelledError, asyncpg.InternalClientError):
                    # Dropped, not cancelled: cancelling would wait for a server that is silent.
                    # And the driver may have lost its place when the server died.
                    connection.terminate()
                    raise
                finally:
                    await pool.release(connection)

    async def hear(self) -> None:
        """Raises Overloaded when the database says nothing for as long as an ordinary request
        waits: for work that may take minutes, before it begins."""
        with deadline.at_most(deadline.PATIENCE_S):
            await self.fetch("SELECT 1")

    async def _pool(self) -> asyncpg.Pool[asyncpg.Record]:
        if self._readers is None:
            self._readers = asyncpg.create_pool(
                self._url,
                min_size=0,
                max_size=self._size,
                timeout=CONNECT_TIMEOUT_S,
                server_settings=self._settings,
                reset=_leave_as_it_is,
            )
        await self._readers
        return self._readers

    @asynccontextmanager
    async def transaction(
        self, *, timeout_s: float | None = None
    ) -> AsyncIterator[AsyncConnection]:
        """One transaction: committed when the block ends, rolled back when it raises.

        Raises Overloaded when the database is away, or when block and commit together take
        longer than `timeout_s` (what is left of the request's time, when not given); whether it
        was committed is then unknown.
        """
        if timeout_s is None:
            timeout_s = deadline.left()
        async with self._connection(timeout_s) as connection:
            await connection.begin()
            yield connection
            await connection.commit()

    async def close(self) -> None:
        await self.engine.dispose()
        if self._readers is not None:
            self._readers.terminate()

    @asynccontextmanager
    async def _connection(self, timeout_s: float) -> AsyncIterator[AsyncConnection]:
        loop = asyncio.get_running_loop()
        deadline = loop.time() + timeout_s
        with overloaded_when_away():
            async with self.engine.connect() as connection:
                driver = await driver_of(connection)
                timer = loop.call_at(deadline, driver.terminate)
                try:
                    yield connection
                except Exception as error:
                    if not driver.is_closed():
                        raise
                    # Whatever the driver says of a connection that was dropped under it.
                    await connection.invalidate()
                    raise TimeoutError("the connection was dropped") from error
                finally:
                    timer.cancel()


@contextmanager
def overloaded_when_away() -> Iterator[None]:
    """Turn every sign of an absent database into Overloaded; let all other errors through."""
    try:
        yield
    except Exception as error:
        if not is_away(error):
            raise
        raise Overloaded("The database does not answer; repeat the request shortly.") from error


def is_away(error: BaseException) -> bool:
    """Whether `error` says that the database is away or too busy, not that we are wrong."""
    if isinstance(error, DBAPIError):
        cause = getattr(error.orig, "__cause__", None)
        return error.connection_invalidated or (cause is not None and is_away(cause))
    if isinstance(error, asyncpg.PostgresError):
        return (error.sqlstate or "").startswith(_COME_AGAIN)
    if isinstance(error, asyncpg.InterfaceError):
        return "closed" in str(error) or "connection was" in str(error)
    return isinstance(error, OSError | TimeoutError | PoolTimeout | asyncpg.InternalClientError)


async def driver_of(connection: AsyncConnection) -> asyncpg.Connection[asyncpg.Record]:
    """The driver's connection under it: what runs there is part of the same transaction."""
    found: Any = (await connection.get_raw_connection()).driver_connection
    return cast("asyncpg.Connection[asyncpg.Record]", found)


async def _leave_as_it_is(connection: Any) -> None:
    """Single statements leave nothing behind in a session: a reset would only cost a round trip."""


def _server_settings(role: str | None, application: str) -> dict[str, str]:
    settings = {"application_name": application, "timezone": "UTC", "jit": "off"}
    return settings if role is None else settings | {"role": role}


def _refuse_closed(dbapi_connection: Any, entry: ConnectionPoolEntry, proxy: Any) -> None:
    if dbapi_connection.driver_connection.is_closed():
        raise DisconnectionError("the server closed this connection")


__all__ = [
    "ANSWER_TIMEOUT_S",
    "Database",
    "connect",
    "driver_of",
    "is_away",
    "overloaded_when_away",
]
