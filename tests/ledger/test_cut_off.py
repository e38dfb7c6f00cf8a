"""Audits and sealers that are ended in the middle: they end, and whoever follows is right."""

from __future__ import annotations

import asyncio
from datetime import datetime
from pathlib import Path
from random import Random

import asyncpg
import pytest

from ledger import screening
from ledger.audit import audit
from ledger.raw import raw_rows
from ledger.seals.sealing import seal
from ledger.seals.streams import Stream
from ledger.service import Ledger
from tests.conftest import TestDatabase
from tests.ledger.chains import Chains
from tests.ledger.conftest import Clock
from tests.ledger.lives import Lives

PATIENCE_S = 20


@pytest.fixture
def chains(database: TestDatabase, clock: Clock, tmp_path: Path) -> Chains:
    return Chains(database, clock, tmp_path)


@pytest.fixture
async def lives(ledger: Ledger, clock: Clock, monkeypatch: pytest.MonkeyPatch) -> Lives:
    monkeypatch.setattr(screening, "_PAGE", 3)
    monkeypatch.setitem(Stream.__init__.__kwdefaults__ or {}, "page", 5)
    made = Lives(ledger, clock, Random(3), 8)
    await made.live(10)
    return made


@pytest.mark.parametrize("which", [0, 1])
@pytest.mark.parametrize("server", [False, True], ids=["client", "server"])
@pytest.mark.parametrize("after", [1, 9])
async def test_an_audit_ends_with_any_of_its_connections(
    lives: Lives, chains: Chains, database: TestDatabase, which: int, server: bool, after: int
) -> None:
    """… whoever ends it, and the others can be used again."""
    await chains.seal(block=6)
    connections = [await chains.connect() for _ in range(2)]
    superuser = await asyncpg.connect(database.superuser_url)
    pid = connections[which].get_server_pid()
    before = asyncio.all_tasks()
    killing: list[asyncio.Future[object]] = []
    told = 0

    def kill(stage: str, done: int) -> None:
        nonlocal told
        told += 1
        if told == after and server:
            terminate = superuser.execute("SELECT pg_terminate_backend($1)", pid)
            killing.append(asyncio.ensure_future(terminate))
        elif told == after:
            connections[which].terminate()

    with pytest.raises((OSError, asyncpg.InterfaceError, asyncpg.PostgresError)):
        async with asyncio.timeout(PATIENCE_S):
            await audit(connections[0], kill, beside=connections[1:])
    await asyncio.gather(*killing)
    other = connections[1 - which]
    assert await other.fetchval("SELECT pg_current_xact_id_if_assigned() IS NULL")
    assert not other.is_in_transaction()
    assert asyncio.all_tasks() == before
    for one in (*connections, superuser):
        one.terminate()
    assert (await chains.audit()).findings == []


async def test_a_cancelled_audit_leaves_its_connections_as_they_were(
    lives: Lives, chains: Chains
) -> None:
    connections = [await chains.connect() for _ in range(3)]
    begun = asyncio.Event()
    for pause in range(12):
        begun.clear()
        task = asyncio.ensure_future(
            audit(connections[0], lambda stage, done: begun.set(), beside=connections[1:])
        )
        await begun.wait()
        for _ in range(pause):
            await asyncio.sleep(0)
        task.cancel()
        with pytest.raises(asyncio.CancelledError):
            async with asyncio.timeout(PATIENCE_S):
                await task
        assert not any(one.is_in_transaction() for one in connections)
        assert [await one.fetchval("SELECT 1") for one in connections] == [1, 1, 1]
    assert (await audit(connections[0], beside=connections[1:])).findings == []
    for one in connections:
        await one.close()


@pytest.mark.parametrize("after_s", [0.005, 0.02, 0.05])
async def test_a_cancelled_copy_leaves_its_connection_as_it_was(
    chains: Chains, after_s: float
) -> None:
    """… and is told as what it is: a command that is interrupted says so, too."""
    connection = await chains.connect()

    async def read() -> None:
        async with connection.transaction():
            many = "FROM generate_series(1, $1) n"
            await raw_rows(connection, ["n", "repeat('x', 99)"], many, 3 * 10**5)

    with pytest.raises(TimeoutError):
        await asyncio.wait_for(read(), after_s)
    assert not connection.is_in_transaction()
    assert await connection.fetchval("SELECT 1") == 1
    await connection.close()


async def test_a_cancelled_sealer_is_followed_by_another(
    lives: Lives, chains: Chains, database: TestDatabase, clock: Clock
) -> None:
    """Wherever it was: reading ahead, or writing a block."""
    sealed: set[int] = set()
    for pause in range(12):
        reader, writer = [
            await asyncpg.connect(database.url, server_settings={"role": "bonus_app"})
            for _ in range(2)
        ]
        blocks = asyncio.Semaphore(0)

        def now(blocks: asyncio.Semaphore = blocks) -> datetime:
            blocks.release()
            return clock()

        task = asyncio.ensure_future(seal(reader, writer, now, block=2))
        for _ in range(1 + pause % 3):
            await blocks.acquire()
        for _ in range(pause):
            await asyncio.sleep(0)
        task.cancel()
        async with asyncio.timeout(PATIENCE_S):
            await asyncio.gather(task, return_exceptions=True)
        await reader.close()
        await writer.close()
        sealed.add((await chains.heads())["journal"].number)
    assert len(sealed) > 6
    await chains.seal(block=2)
    report = await chains.audit()
    assert (report.findings, set(report.unsealed.values())) == ([], {0})
    assert await chains.verify() == []
