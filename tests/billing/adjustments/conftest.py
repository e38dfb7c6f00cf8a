from __future__ import annotations

from collections.abc import AsyncIterator

import pytest

from billing.common.settings import Settings
from tests.billing.balances.house import House, opened


@pytest.fixture
async def house(settings: Settings) -> AsyncIterator[House]:
    async with opened(settings) as made:
        yield made


@pytest.fixture(scope="module")
async def shared_house(shared_settings: Settings) -> AsyncIterator[House]:
    """For tests that leave the clock alone and look at customers of their own only."""
    async with opened(shared_settings) as made:
        yield made
