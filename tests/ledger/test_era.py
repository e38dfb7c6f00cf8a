"""A dump restored into another server, which counts its commits anew, breaks no order."""

from __future__ import annotations

from collections.abc import AsyncIterator
from pathlib import Path
from zoneinfo import ZoneInfo

import asyncpg
import pytest

from ledger.errors import Unavailable
from ledger.rollups import roll_up
from ledger.seals.era import adopt
from ledger.service import Ledger
from tests.conftest import TestDatabase
from tests.ledger.chains import Chains, Connection
from tests.ledger.conftest import Clock
from tests.ledger.house import Customer

AHEAD = 10**9


@pytest.fixture
async def superuser(database: TestDatabase) -> AsyncIterator[Connection]:
    connection = await asyncpg.connect(
        database.superuser_url, server_settings={"session_replication_role": "replica"}
    )
    yield connection
    await connection.close()


@pytest.fixture
async def restored(
    database: TestDatabase, clock: Clock, superuser: Connection, tmp_path: Path
) -> Chains:
    """A journal of a server that had come much further, half of it sealed there."""
    chains = Chains(database, clock, tmp_path)
    async with Ledger(database.url, clock=clock) as ledger:
        one = Customer(ledger, clock)
        await one.give(1)
        await superuser.execute("UPDATE ledger.transactions SET xid = xid + $1", AHEAD)
        await superuser.execute(
            f"CREATE OR REPLACE FUNCTION ledger.xid_offset() RETURNS bigint LANGUAGE sql"
            f" IMMUTABLE RETURN {AHEAD}::bigint"
        )
        assert await chains.seal() == 1
        await superuser.execute(
            "CREATE OR REPLACE FUNCTION ledger.xid_offset() RETURNS bigint LANGUAGE sql"
            " IMMUTABLE RETURN 0::bigint"
        )
        # Committed there, not sealed there.
        await one.give(2)
        await superuser.execute(
            "UPDATE ledger.transactions SET xid = xid + $1 WHERE version = 2", AHEAD
        )
    return chains


async def test_nothing_is_posted_before_the_server_is_adopted(
    restored: Chains, database: TestDatabase, clock: Clock
) -> None:
    async with Ledger(database.url, clock=clock) as ledger:
        with pytest.raises(Unavailable):
            await Customer(ledger, clock).give(1)


async def test_the_order_goes_on_after_the_past(
    restored: Chains, database: TestDatabase, clock: Clock, superuser: Connection
) -> None:
    await superuser.execute("UPDATE ledger.rollup_state SET xid = $1, zone = 'UTC'", AHEAD * 2)
    owner = await restored.connect()
    assert await adopt(owner)
    assert not await adopt(owner)
    await owner.close()
    async with Ledger(database.url, clock=clock) as ledger:
        one = Customer(ledger, clock)
        await one.give(3)
        past = await superuser.fetchval(
            "SELECT max(xid) FROM ledger.transactions WHERE customer_id <> $1", one.id
        )
        new = await superuser.fetchval(
            "SELECT xid FROM ledger.transactions WHERE customer_id = $1", one.id
        )
        # Sums of reports begin after what they had; a period is closed after what was written.
        assert await roll_up(ledger, ZoneInfo("UTC")) == 1
        assert await roll_up(ledger, ZoneInfo("UTC")) == 0
    closing = "UPDATE ledger.closing SET xid = DEFAULT RETURNING xid"
    assert await superuser.fetchval(closing) > new > AHEAD * 2 > past
    assert await restored.seal() == 2
    assert (await restored.audit()).findings == []
    assert await restored.verify() == []
