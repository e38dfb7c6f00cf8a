from __future__ import annotations

from collections.abc import AsyncIterator

import asyncpg
import pytest

from billing.common.settings import Settings
from tests.billing.campaigns.house import Office
from tests.billing.scenarios.house import opened
from tests.conftest import TestDatabase


@pytest.fixture
async def office(settings: Settings, database: TestDatabase) -> AsyncIterator[Office]:
    superuser = await asyncpg.connect(database.superuser_url)
    async with opened(settings) as chain:
        yield Office(chain, superuser)
    await superuser.close()
