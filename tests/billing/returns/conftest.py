from __future__ import annotations

from collections.abc import AsyncIterator

import pytest

from billing.common.settings import Settings
from tests.billing.returns.counter import START, Counter, opened


@pytest.fixture(scope="module")
async def house(shared_settings: Settings) -> AsyncIterator[Counter]:
    async with opened(shared_settings) as made:
        yield made


@pytest.fixture
async def counter(house: Counter) -> Counter:
    """A shop and a customer of this test alone."""
    house.clock.now = START
    return await house.another()
