"""Who may wait for minutes hears of a silent database as soon as a till does."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Final
from uuid import UUID

import httpx
import msgspec
import pytest

from billing.app.api import OPERATIONS, create_app
from billing.common import deadline
from billing.common.http import Operation
from billing.common.settings import Settings
from tests.billing.conftest import Caller, client_of, running
from tests.billing.faulty_line import FaultyLine, faulty_line

LONG: Final = [one for one in OPERATIONS if one.patience_s > deadline.PATIENCE_S]
_NAMES: Final = {"period": "2026-01", "id": str(UUID(int=1)), "code": "none"}
_QUERIES: Final = {"/v1/ledger/general-ledger": {"account": "available"}}


@pytest.fixture
async def line(shared_settings: Settings, tmp_path: Path) -> AsyncIterator[FaultyLine]:
    async with faulty_line(shared_settings.database_url, tmp_path) as made:
        yield made


async def ask(client: httpx.AsyncClient, one: Operation) -> httpx.Response:
    """As it is documented; what it names is not there."""
    return await client.request(
        one.method,
        one.path.format(**_NAMES),
        json=next(iter(one.examples.values()), None),
        params=_QUERIES.get(one.path),
    )


async def test_no_long_request_waits_for_a_silent_database(
    shared_settings: Settings, line: FaultyLine, caller: Caller
) -> None:
    """Wherever it waits first: for a report's connection, for what it changes, for its log."""
    known = await caller("admin")
    app = create_app(msgspec.structs.replace(shared_settings, database_url=line.url))
    async with running(app), client_of(app) as client:
        client.headers["authorization"] = known.headers["authorization"]
        answers = [await ask(client, one) for one in LONG]
        assert [one.url for one in answers if one.status_code >= 500] == []
        line.freeze()
        # Whoever waited until its own patience ended would wait longer.
        async with asyncio.timeout(min(one.patience_s for one in LONG) - 1):
            answers = await asyncio.gather(*(ask(client, one) for one in LONG))
        assert {one.status_code for one in answers} == {503}
        assert {one.json()["code"] for one in answers} == {"overloaded"}
        await line.mend()
