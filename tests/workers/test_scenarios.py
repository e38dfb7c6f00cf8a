"""What a killed API process left to be posted is posted by the workers."""

from __future__ import annotations

import asyncio
import time
from datetime import UTC, datetime

from billing.common.settings import Settings
from tests.billing.scenarios.house import opened
from tests.workers.conftest import Start


async def test_workers_post_the_welcome_points_that_no_request_posted(
    settings: Settings, start: Start
) -> None:
    async with opened(settings) as chain:
        await chain.scenario("registration", valid_from="2026-01-01T00:00:00+03:00")
        chain.now = datetime.now(UTC)
        customer = await chain.written_only(channel="shop")
        start("worker")
        start("scheduler")
        end = time.monotonic() + 40
        while await chain.balance(customer) != "100.00":
            assert time.monotonic() < end, "it did not come to pass"
            await asyncio.sleep(0.2)
