"""Notices on a ledger of their own, with a clock the test sets."""

from __future__ import annotations

from collections.abc import AsyncIterator
from typing import Any

import asyncpg
import pytest

from billing.common.db import Database
from ledger.service import Ledger
from tests.conftest import TestDatabase
from tests.ledger.conftest import Clock


@pytest.fixture
def clock() -> Clock:
    return Clock()


@pytest.fixture
async def ledger(database: TestDatabase, clock: Clock) -> AsyncIterator[Ledger]:
    async with Ledger(database.url, clock=clock) as running:
        yield running


@pytest.fixture
async def db(database: TestDatabase) -> AsyncIterator[Database]:
    made = Database(database.url, size=4)
    yield made
    await made.close()


@pytest.fixture
async def superuser(database: TestDatabase) -> AsyncIterator[asyncpg.Connection[Any]]:
    connection = await asyncpg.connect(database.superuser_url)
    yield connection
    await connection.close()
