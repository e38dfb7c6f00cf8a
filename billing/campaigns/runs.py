"""The worker's side of campaigns: runs are begun when due and gone on with, chunk by chunk.

A chunk is a group of the ledger. What it gave is known by its sources, so whoever dies in it, the
next one finds out and goes on. The numbers of a run move in the transaction that moves its cursor.
"""

from __future__ import annotations

import asyncio
from datetime import datetime, timedelta
from typing import Final
from uuid import UUID
from zoneinfo import ZoneInfo

import structlog
from sqlalchemy.ext.asyncio import AsyncConnection

from billing.campaigns import store
from billing.campaigns.beginning import begin
from billing.campaigns.definition import Terms, compile_terms, read
from billing.campaigns.ending import break_off, end_run, give_up
from billing.campaigns.gifts import GiftMaker
from billing.campaigns.giving import Tally, counted
from billing.campaigns.model import Campaign, Run
from billing.campaigns.work import RunWork, work_of
from billing.common.db import Database, is_away
from billing.common.errors import Overloaded, Problem
from ledger.errors import Unavailable
from ledger.service import Ledger

CHUNK: Final = 1000
CHUNK_TIMEOUT_S: Final = 400
STRIKES: Final = 5
"""Times a chunk may break, one after another, for a reason nobody foresaw."""
SECONDS: Final = 600.0
"""For how long one message is worked on; the scheduler's next one goes on."""

_Known = dict[UUID, tuple[Terms, RunWork]]

log = structlog.stdlib.get_logger(__name__)


class CampaignRunner:
    """Any number may work side by side; a run is in the hands of one at a time."""

    def __init__(
        self, ledger: Ledger, database: Database, gifts: GiftMaker, *, zone: ZoneInfo,
        catch_up: timedelta, chunk: int = CHUNK,
    ) -> None:  # fmt: skip
        self._ledger = ledger
        self._database = database
        self._gifts = gifts
        self._zone = zone
        self._catch_up = catch_up
        self._chunk = chunk
        self._stopping = False

    def stop(self) -> None:
        """Begin no further chunk."""
        self._stopping = True

    async def run_all(self, *, for_s: float = SECONDS) -> int:
        """Go on until nothing is due, or the time is over; how many chunks were done.

        Several runs take turns. What is left when the database or the ledger is away is found
        the next time.
        """
        loop = asyncio.get_running_loop()
        end = loop.time() + for_s
        chunks = 0
        known: _Known = {}
        try:
            while not self._stopping and loop.time() < end:
                done = await self.turn(known)
                chunks += done
                if not done:
                    break
        except (Overloaded, Unavailable) as error:
            log.info("campaigns_left_for_later", because=str(error))
        return chunks

    async def turn(self, known: _Known | None = None) -> int:
        """Begin what is due, and do a chunk of every run; how much was done. `known` is what an
        earlier turn found out of the runs. Raises Overloaded, Unavailable."""
        known = {} if known is None else known
        now = self._ledger.clock()
        done = 0
        for code in await store.find_due(self._database, now):
            done += await self._begin(code, now)
        for run_id, code in await store.find_open_runs(self._database):
            if not self._stopping:
                done += await self._go_on(run_id, code, known)
        return done

    async def _begin(self, code: str, now: datetime) -> bool:
        """A campaign that cannot begin stands in nobody's way."""
        try:
            return await begin(self._database, code, now, self._catch_up, self._zone)
        except Overloaded:
            raise
        except Exception as error:
            if is_away(error):
                raise Overloaded("The database does not answer.") from error
            log.exception("campaign_not_begun", campaign=code)
            await give_up(self._database, code, f"It could not begin: {error!r}"[:500])
        return False

    async def _go_on(self, run_id: UUID, code: str, known: _Known) -> bool:
        """A chunk of a run; False when there was nothing for us to do."""
        try:
            async with self._database.transaction(timeout_s=CHUNK_TIMEOUT_S) as tx:
                return await self._carry_on(tx, run_id, code, known)
        except (Overloaded, Unavailable):
            raise
        except Problem as problem:
            await break_off(self._database, run_id, code, problem.detail, self._ledger.clock())
        except Exception as error:
            if is_away(error):
                raise Overloaded("The database does not answer.") from error
            log.exception("campaign_chunk_broke", campaign=code, run=str(run_id))
            await self._strike(run_id, code, error)
        known.pop(run_id, None)
        return False

    async def _carry_on(self, tx: AsyncConnection, run_id: UUID, code: str, known: _Known) -> bool:
        run = await store.take_run(tx, run_id)
        campaign = await store.read_in(tx, code)
        if run is None or campaign is None:
            # Another worker has it, and may die in it: what we know of it is not all any more.
            known.pop(run_id, None)
            return False
        if campaign.state not in ("running", "cancelled"):
            return False
        # Of a cancelled one all that may have been given is looked for anew.
        if run_id not in known or campaign.state == "cancelled":
            known[run_id] = await self._work(campaign, run)
        terms, work = known[run_id]
        chunk = await work.next_chunk(run.cursor)
        if campaign.state == "cancelled":
            # Nothing more is given, but what a worker gave before it died is counted.
            tally = counted(await work.giver.known(chunk.doubtful))
            await self._count(tx, run, tally, run.cursor, 0)
        else:
            left = None
            if campaign.allowance is not None:
                left = campaign.allowance - await store.given_by(tx, code)
            tally = await work.giver.give(chunk.customers, chunk.doubtful, left)
            await self._count(tx, run, tally, chunk.cursor, chunk.seen)
        if chunk.last or campaign.state == "cancelled":
            await end_run(tx, run_id, terms.schedule, self._ledger.clock())
        return True

    async def _work(self, campaign: Campaign, run: Run) -> tuple[Terms, RunWork]:
        terms = compile_terms(campaign.code, read(campaign.definition), self._zone)
        return terms, await work_of(
            self._ledger, self._database, self._gifts, terms, campaign, run, self._zone.key,
            self._chunk,
        )  # fmt: skip

    async def _count(
        self, tx: AsyncConnection, run: Run, tally: Tally, cursor: UUID | None, seen: int
    ) -> None:
        skipped = dict(run.skipped)
        for reason, number in tally.skipped.items():
            skipped[reason] = skipped.get(reason, 0) + number
        if tally.failed:
            await store.set_aside(tx, run.id, tally.failed, self._ledger.clock())
        await store.move_run(
            tx, run, at=self._ledger.clock(), cursor=cursor, seen=seen, customers=tally.customers,
            given=tally.given, points=tally.points, failed=len(tally.failed), skipped=skipped,
        )  # fmt: skip

    async def _strike(self, run_id: UUID, code: str, error: Exception) -> None:
        async with self._database.transaction() as tx:
            strikes = await store.strike_run(tx, run_id)
        if strikes >= STRIKES:
            why = f"It broke {strikes} times; the fault is ours and was logged: {error!r}"
            await break_off(self._database, run_id, code, why[:500], self._ledger.clock())
