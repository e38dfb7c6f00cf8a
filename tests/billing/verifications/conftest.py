"""The house of verifications."""

from __future__ import annotations

from collections.abc import AsyncIterator

import pytest

from billing.common.settings import Settings
from tests.billing.verifications.house import House, opened


@pytest.fixture(scope="session")
async def house(shared_settings: Settings) -> AsyncIterator[House]:
    async with opened(shared_settings) as made:
        yield made
