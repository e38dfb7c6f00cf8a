from __future__ import annotations

from collections.abc import AsyncIterator

import pytest

from billing.common.db import Database
from ledger.service import Ledger
from tests.conftest import TestDatabase
from tests.integrations.webhooks.house import House
from tests.integrations.webhooks.receiver import Receiver, listening
from tests.ledger.conftest import Clock, clock, ledger

__all__ = ["clock", "ledger"]


@pytest.fixture
async def house(ledger: Ledger, clock: Clock, database: TestDatabase) -> AsyncIterator[House]:
    opened = Database(database.url, size=8)
    made = House(ledger, clock, opened)
    await made.dispatch()
    yield made
    await made.close()
    await opened.close()


@pytest.fixture
async def receiver() -> AsyncIterator[Receiver]:
    async with listening() as made:
        yield made


@pytest.fixture
async def other() -> AsyncIterator[Receiver]:
    async with listening() as made:
        yield made
