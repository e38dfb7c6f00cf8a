from __future__ import annotations

from collections.abc import AsyncIterator
from typing import Any

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
async def superuser(database: TestDatabase) -> AsyncIterator[asyncpg.Connection[Any]]:
    connection = await asyncpg.connect(database.superuser_url)
    yield connection
    await connection.close()
