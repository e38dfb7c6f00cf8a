"""Bringing a database to the newest revision, one process at a time.

A migration waits for a table's lock a few seconds only: it would otherwise stand in the queue
before the tills. It then fails, nothing is changed, and it can simply be started again.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable
from pathlib import Path

import asyncpg
from alembic import command
from alembic.config import Config
from sqlalchemy import Connection, text
from sqlalchemy.ext.asyncio import AsyncConnection, create_async_engine
from sqlalchemy.pool import NullPool

from ledger.seals.era import Numbered, adopt

NUMBERED = (
    Numbered("billing.events", "xid"),
    Numbered("billing.webhook_subscriptions", "since"),
    Numbered("billing.event_cursors", "xid", written=False),
)
"""Columns outside the ledger that hold numbers of commits."""
ADVISORY_LOCK = 0x626F6E7573_01
"""One migration at a time in a database: "bonus", 1."""
TURN_TIMEOUT_S = 600
TURN_PAUSE_S = 0.1
LOCK_TIMEOUT = "5s"
STATEMENT_TIMEOUT = "15min"
CONNECT_TIMEOUT_S = 10


async def upgrade(owner_url: str) -> bool:
    """Upgrade to the newest revision. True when the database was new, without any of ours.

    A database restored from a dump into another server is told to go on in its order.
    """
    found_new = False

    def run(connection: Connection) -> None:
        nonlocal found_new
        found_new = not _has_revision(connection)
        command.upgrade(_config(connection), "head")

    await on_connection(owner_url, run)
    await _adopt(owner_url)
    return found_new


async def _adopt(owner_url: str) -> None:
    connection = await asyncpg.connect(
        owner_url,
        timeout=CONNECT_TIMEOUT_S,
        server_settings={"application_name": "bonus-migrate", "lock_timeout": LOCK_TIMEOUT},
    )
    try:
        await adopt(connection, NUMBERED)
    finally:
        await connection.close()


async def check(owner_url: str) -> None:
    """Raises alembic's CommandError when the database or the tables in code are not as migrated."""
    await on_connection(owner_url, lambda connection: command.check(_config(connection)))


async def on_connection(owner_url: str, run: Callable[[Connection], None]) -> None:
    """Call `run` under the advisory lock, in a database that has the schema `billing`."""

    async def connect() -> asyncpg.Connection[asyncpg.Record]:
        return await asyncpg.connect(
            owner_url,
            timeout=CONNECT_TIMEOUT_S,
            server_settings={"application_name": "bonus-migrate", "timezone": "UTC"},
        )

    engine = create_async_engine("postgresql+asyncpg://", async_creator=connect, poolclass=NullPool)
    async with engine.connect() as connection:
        await _take_turn(connection)
        await connection.execute(text(f"SET statement_timeout = '{STATEMENT_TIMEOUT}'"))
        await connection.execute(text(f"SET lock_timeout = '{LOCK_TIMEOUT}'"))
        # Alembic keeps its version table there and makes it before the first revision runs.
        await connection.execute(text("CREATE SCHEMA IF NOT EXISTS billing"))
        await connection.commit()
        await connection.run_sync(run)
    await engine.dispose()


async def _take_turn(connection: AsyncConnection) -> None:
    """Raises TimeoutError. It waits between statements: an index that another one builds beside
    the tills waits for every statement that began before it."""
    end = time.monotonic() + TURN_TIMEOUT_S
    while not await connection.scalar(text(f"SELECT pg_try_advisory_lock({ADVISORY_LOCK})")):
        await connection.rollback()
        if time.monotonic() > end:
            raise TimeoutError("another migration is at it; start again when it is over")
        await asyncio.sleep(TURN_PAUSE_S)


def _has_revision(connection: Connection) -> bool:
    found = connection.scalar(text("SELECT to_regclass('billing.alembic_version') IS NOT NULL"))
    connection.rollback()
    return bool(found)


def _config(connection: Connection) -> Config:
    config = Config()
    folder = str(Path(__file__).parent).replace("%", "%%")
    config.set_main_option("script_location", folder)
    config.set_main_option("path_separator", "os")
    config.attributes["connection"] = connection
    return config
