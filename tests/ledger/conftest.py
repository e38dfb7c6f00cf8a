"""A ledger on a database of its own, with a clock the test sets."""

from __future__ import annotations

from collections.abc import AsyncIterator
from datetime import UTC, datetime, timedelta

import pytest

from ledger.service import Ledger
from tests.conftest import TestDatabase

START = datetime(2026, 1, 1, tzinfo=UTC)


class Clock:
    """Time that passes only when told to; seconds since `START`."""

    def __init__(self) -> None:
        self.seconds = 0.0

    def __call__(self) -> datetime:
        return self.at(self.seconds)

    @staticmethod
    def at(seconds: float) -> datetime:
        return START + timedelta(seconds=seconds)


@pytest.fixture
def clock() -> Clock:
    return Clock()


@pytest.fixture
async def ledger(database: TestDatabase, clock: Clock) -> AsyncIterator[Ledger]:
    async with Ledger(database.url, clock=clock) as running:
        yield running
