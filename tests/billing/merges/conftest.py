"""The house of verifications, on a database of its own."""

from __future__ import annotations

from collections.abc import AsyncIterator

import pytest

from billing.common.settings import Settings
from tests.billing.verifications.house import House, opened


@pytest.fixture
async def house(settings: Settings) -> AsyncIterator[House]:
    async with opened(settings) as made:
        yield made
