"""A ledger with a clock the test sets, and consumers of its events."""

from __future__ import annotations

from collections.abc import AsyncIterator

import pytest

from billing.common.db import Database
from tests.billing.events.consumer import Consumer
from tests.conftest import TestDatabase
from tests.ledger.conftest import Clock, clock, ledger

__all__ = ["clock", "ledger"]


@pytest.fixture
async def billing(database: TestDatabase) -> AsyncIterator[Database]:
    opened = Database(database.url, size=8)
    yield opened
    await opened.close()


@pytest.fixture
async def consumer(billing: Database, clock: Clock) -> Consumer:
    """One that reads from here on."""
    made = Consumer(billing, clock)
    assert not await made.stream.advance()
    return made
