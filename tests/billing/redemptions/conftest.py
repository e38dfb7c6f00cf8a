from __future__ import annotations

import httpx
import pytest

from tests.acceptance.shop import Shop
from tests.billing.redemptions.paying import Payer


@pytest.fixture
async def payer(admin: httpx.AsyncClient) -> Payer:
    return Payer(await Shop(admin).open())
