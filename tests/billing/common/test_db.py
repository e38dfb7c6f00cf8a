"""A database that is away: 503 within two seconds, and recovery without a restart."""

from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncIterator
from pathlib import Path

import pytest
from sqlalchemy import text
from sqlalchemy.exc import IntegrityError

from billing.common.db import Database, connect
from billing.common.errors import Overloaded
from tests.billing.faulty_line import FaultyLine, faulty_line
from tests.conftest import TestDatabase

ADD = text("INSERT INTO billing.channels (code, name) VALUES (:code, 'x')")


@pytest.fixture
async def line(shared_database: TestDatabase, tmp_path: Path) -> AsyncIterator[FaultyLine]:
    async with faulty_line(shared_database.url, tmp_path) as made:
        yield made


@pytest.fixture
async def through(line: FaultyLine) -> AsyncIterator[Database]:
    database = Database(line.url, size=3)
    yield database
    await database.close()


async def test_a_transaction_commits_at_its_end_and_not_before(
    shared_database: TestDatabase,
) -> None:
    database = Database(shared_database.url, size=2)
    count = "SELECT count(*) FROM billing.channels WHERE code = $1"
    async with database.transaction() as tx:
        await tx.execute(ADD, {"code": "tx-1"})
        assert (await database.fetch(count, "tx-1"))[0][0] == 0
    assert (await database.fetch(count, "tx-1"))[0][0] == 1
    with pytest.raises(ZeroDivisionError):
        await _fail_inside(database)
    assert (await database.fetch(count, "tx-2"))[0][0] == 0
    with pytest.raises(IntegrityError):
        async with database.transaction() as tx:
            await tx.execute(ADD, {"code": "tx-1"})
    await database.close()


async def test_the_application_has_its_own_role(shared_database: TestDatabase) -> None:
    connection = await connect(shared_database.url)
    assert await connection.fetchval("SELECT current_user") == "bonus_app"
    await connection.close()


async def test_a_transaction_that_falls_silent_is_ended_and_lets_go(
    shared_database: TestDatabase,
) -> None:
    """A process that was stopped, or whose machine is gone, holds nobody up."""
    stopped = Database(shared_database.url, size=1, idle_s=1)
    other = Database(shared_database.url, size=1)
    lock = "SELECT pg_advisory_xact_lock(7, 7)"

    async def fall_silent() -> None:
        async with stopped.transaction(timeout_s=30) as tx:
            await tx.execute(text(lock))
            await other.fetch(lock, timeout_s=10)
            await tx.execute(text("SELECT 1"))

    with pytest.raises(Overloaded):
        await fall_silent()
    await stopped.close()
    await other.close()


async def test_a_killed_server_is_overloaded_and_found_again(
    line: FaultyLine, through: Database
) -> None:
    await asyncio.gather(*(through.fetch("SELECT 1") for _ in range(3)))
    await line.cut()
    for _ in range(2):
        with pytest.raises(Overloaded):
            await through.fetch("SELECT 1")
        with pytest.raises(Overloaded):
            async with through.transaction() as tx:
                await tx.execute(text("SELECT 1"))
    await line.mend()
    # Not one request more than needed fails: the broken connections are not handed out.
    for _ in range(4):
        assert (await through.fetch("SELECT 1"))[0][0] == 1


async def test_a_server_killed_inside_a_transaction(line: FaultyLine, through: Database) -> None:
    with pytest.raises(Overloaded):
        await _cut_inside(line, through)
    await line.mend()
    found = await through.fetch("SELECT count(*) FROM billing.channels WHERE code = 'never'")
    assert found[0][0] == 0


async def test_a_silent_network_is_overloaded_within_two_seconds(
    line: FaultyLine, through: Database
) -> None:
    await asyncio.gather(*(through.fetch("SELECT 1") for _ in range(3)))
    line.freeze()
    started = time.monotonic()
    answers = await asyncio.gather(
        *(through.fetch("SELECT 1") for _ in range(8)), return_exceptions=True
    )
    assert {type(answer) for answer in answers} == {Overloaded}
    assert time.monotonic() - started < 2
    await line.mend()
    started = time.monotonic()
    with pytest.raises(Overloaded):
        await _freeze_inside(line, through)
    assert time.monotonic() - started < 2
    await line.mend()
    assert (await through.fetch("SELECT 1"))[0][0] == 1


async def test_a_statement_that_takes_too_long_frees_its_connection(
    shared_database: TestDatabase,
) -> None:
    database = Database(shared_database.url, size=1)
    with pytest.raises(Overloaded):
        await database.fetch("SELECT pg_sleep(30)", timeout_s=0.1)
    with pytest.raises(Overloaded):
        async with database.transaction(timeout_s=0.1) as tx:
            await tx.execute(text("SELECT pg_sleep(30)"))
    assert (await database.fetch("SELECT 1"))[0][0] == 1
    await database.close()


async def _fail_inside(database: Database) -> None:
    async with database.transaction() as tx:
        await tx.execute(ADD, {"code": "tx-2"})
        raise ZeroDivisionError


async def _cut_inside(line: FaultyLine, through: Database) -> None:
    async with through.transaction() as tx:
        await tx.execute(ADD, {"code": "never"})
        await line.cut()


async def _freeze_inside(line: FaultyLine, through: Database) -> None:
    async with through.transaction() as tx:
        await tx.execute(ADD, {"code": "maybe"})
        line.freeze()
