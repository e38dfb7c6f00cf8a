from __future__ import annotations

from collections.abc import AsyncIterator
from pathlib import Path

import asyncpg
import pytest

from billing.common.db import Database
from tests.conftest import TestDatabase
from tests.integrations.sms.house import House
from tests.integrations.sms.peers import Peer, peer_of
from tests.ledger.conftest import Clock

CLEAN = """
DELETE FROM billing.messages;
DELETE FROM billing.message_inbound;
DELETE FROM billing.message_opt_outs;
DELETE FROM billing.message_templates;
DELETE FROM billing.message_settings;
DELETE FROM billing.sms_providers;
DELETE FROM billing.sms_webhooks;
"""


@pytest.fixture
def clock() -> Clock:
    return Clock()


@pytest.fixture(scope="session")
async def opened(shared_database: TestDatabase) -> AsyncIterator[Database]:
    made = Database(shared_database.url, size=8)
    yield made
    await made.close()


@pytest.fixture
async def house(
    opened: Database, shared_database: TestDatabase, clock: Clock, tmp_path: Path
) -> AsyncIterator[House]:
    """Alone with the shared database's messages."""
    owner = await asyncpg.connect(shared_database.owner_url)
    await owner.execute(CLEAN)
    made = House(opened, clock, tmp_path)
    yield made
    await made.close()
    await owner.execute(CLEAN)
    await owner.close()


@pytest.fixture
async def smsc() -> AsyncIterator[Peer]:
    async with peer_of("smsc") as made:
        yield made


@pytest.fixture
async def smsru() -> AsyncIterator[Peer]:
    async with peer_of("smsru") as made:
        yield made


@pytest.fixture
async def exolve() -> AsyncIterator[Peer]:
    async with peer_of("exolve") as made:
        yield made


@pytest.fixture
async def twilio() -> AsyncIterator[Peer]:
    async with peer_of("twilio") as made:
        yield made


@pytest.fixture
async def gateway() -> AsyncIterator[Peer]:
    async with peer_of("http") as made:
        yield made
