from __future__ import annotations

from collections.abc import AsyncIterator

import asyncpg
import pytest

from billing.common.settings import Settings
from tests.billing.scenarios.house import Chain, opened
from tests.conftest import TestDatabase


@pytest.fixture
async def chain(settings: Settings) -> AsyncIterator[Chain]:
    async with opened(settings) as made:
        yield made


@pytest.fixture
async def superuser(database: TestDatabase) -> AsyncIterator[asyncpg.Connection[asyncpg.Record]]:
    connection = await asyncpg.connect(database.superuser_url)
    yield connection
    await connection.close()
