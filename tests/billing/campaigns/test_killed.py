"""A worker that dies at any step of a run loses nothing, and its successor doubles nothing."""

from __future__ import annotations

from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass
from datetime import timedelta
from typing import Any, cast
from uuid import UUID

import asyncpg
import pytest
from sqlalchemy import event
from sqlalchemy.ext.asyncio import AsyncConnection

from billing.campaigns.gifts import GiftMaker
from billing.campaigns.runs import CampaignRunner
from billing.catalog.service import Catalog
from billing.common import deadline
from billing.common.db import Database
from billing.common.settings import Settings
from billing.programs.book import ProgramBook
from ledger.commands import Command
from ledger.group import Result
from ledger.service import Ledger
from tests.billing.campaigns.house import Office

MOST_STEPS = 200
COPY = """
INSERT INTO billing.campaigns
    (code, definition, revision, state, author, hands, created_at, updated_at, submitted_by,
     next_run_at)
SELECT $1, definition, revision, 'scheduled', author, hands, created_at, updated_at, 'the test', $2
FROM billing.campaigns WHERE code = 'daily'
"""
GIFTS = """
SELECT customer_id FROM ledger.sources WHERE source LIKE 'campaign/' || $1 || '/%'
"""
TOLD = """
SELECT data->>'state' AS state, data->>'customers' AS customers FROM billing.events
WHERE type = 'campaign.finished' AND data->>'campaign' = $1
"""


class Killed(BaseException):
    """Nobody catches it, as nobody catches kill -9."""


@dataclass
class Life:
    """Ends at step `ends_at`: before or after a statement, a commit, a group of the ledger."""

    ends_at: int
    steps: int = 0

    def step(self) -> None:
        self.steps += 1
        if self.steps == self.ends_at:
            raise Killed


class MortalDatabase(Database):
    def __init__(self, url: str, life: Life) -> None:
        super().__init__(url)
        self._life = life

        @event.listens_for(self.engine.sync_engine, "before_cursor_execute")
        def before(*_: object) -> None:
            life.step()

    async def fetch(
        self, query: str, *args: object, timeout_s: float | None = None
    ) -> list[asyncpg.Record]:
        self._life.step()
        return await super().fetch(query, *args, timeout_s=timeout_s)

    @asynccontextmanager
    async def transaction(
        self, *, timeout_s: float | None = None
    ) -> AsyncIterator[AsyncConnection]:
        async with super().transaction(timeout_s=timeout_s) as tx:
            yield tx
            self._life.step()
        self._life.step()


class MortalLedger:
    def __init__(self, ledger: Ledger, life: Life) -> None:
        self._ledger = ledger
        self._life = life
        self.clock = ledger.clock

    async def execute_many(
        self, commands: Sequence[Command], timeout_s: float = 60
    ) -> list[Result | BaseException]:
        self._life.step()
        fates = await self._ledger.execute_many(commands, timeout_s)
        self._life.step()
        return fates


async def live(office: Office, settings: Settings, ends_at: int) -> bool:
    """Work as a worker that dies at this step; whether it died."""
    services, life = office.chain.services, Life(ends_at)
    deadline.start(600)
    database = MortalDatabase(settings.database_url, life)
    catalog = Catalog(database)
    gifts = GiftMaker(database, catalog, ProgramBook(database, catalog), services.zone.key)
    ledger = cast(Ledger, MortalLedger(services.ledger, life))
    runner = CampaignRunner(
        ledger, database, gifts, zone=services.zone, catch_up=timedelta(days=7), chunk=2
    )
    try:
        await runner.run_all()
    except Killed:
        return True
    finally:
        await database.close()
    return False


@pytest.mark.parametrize("action", ["goes on", "is cancelled"])
async def test_whatever_step_a_worker_dies_at(
    office: Office, settings: Settings, action: str
) -> None:
    """DESIGN 6: each customer once, counted once, told once; also if the next one is to stop."""
    vips = await office.customers(3, tags=["vip"])
    await office.draft("daily", recurrence={"rule": "FREQ=DAILY", "at": "12:00"})
    for ends_at in range(1, MOST_STEPS):
        code = f"daily-{ends_at}"
        await office.superuser.execute(COPY, code, office.chain.now)
        died = await live(office, settings, ends_at)
        if not died and action != "goes on":
            break
        if action == "is cancelled":
            await office.act(code, "cancel")
        await office.run(chunk=2)
        given = [row[0] for row in await office.superuser.fetch(GIFTS, code)]
        runs = await office.runs(code)
        if action != "goes on" and not runs:
            assert given == []
        elif action == "is cancelled" and runs[0]["state"] == "cancelled":
            assert len(set(given)) == len(given)
            assert [run["given"] for run in runs] == [len(given)]
        else:
            await _is_whole(office, code, vips, given, runs)
        if not died:
            break
    assert 20 < ends_at < MOST_STEPS - 1, "a life has some steps, and an end"


async def _is_whole(
    office: Office, code: str, vips: list[UUID], given: list[UUID], runs: list[dict[str, Any]]
) -> None:
    assert sorted(given) == sorted(vips), code
    (run,) = runs
    assert (run["state"], run["customers"], run["given"], run["points"]) == (
        "finished", 3, 3, "30.00",
    ), code  # fmt: skip
    assert [tuple(row) for row in await office.superuser.fetch(TOLD, code)] == [("done", "3")]
