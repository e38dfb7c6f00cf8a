"""One run at work: which customers come next, and what is given to them."""

from __future__ import annotations

import asyncio
from typing import Final
from uuid import UUID

import msgspec

from billing.campaigns.audience import Audience
from billing.campaigns.budget import Budget
from billing.campaigns.crowd import FIRST, Crowd
from billing.campaigns.definition import Terms
from billing.campaigns.gifts import GiftMaker, Occasion
from billing.campaigns.giving import Giver
from billing.campaigns.model import Campaign, Run
from billing.common.db import Database
from billing.customers.model import Customer
from ledger.service import Ledger

MAX_SEEN: Final = 20_000
"""Customers looked at for one chunk: when few are in the audience, a pause is still heard."""
BREATH: Final = 100
"""Customers looked at before others in the same process get a turn."""


class Chunk(msgspec.Struct, frozen=True):
    """The audience among the next `seen` customers, up to `cursor`; `last`: nobody comes after.

    `doubtful` are customers to whom somebody who died may have given: all that were seen, in the
    first chunk of whoever goes on with a run.
    """

    customers: list[Customer]
    doubtful: list[UUID]
    seen: int
    cursor: UUID
    last: bool


class RunWork:
    """What a run needs, put together once by each worker that goes on with it."""

    def __init__(self, crowd: Crowd, audience: Audience, giver: Giver, size: int) -> None:
        self._crowd = crowd
        self._audience = audience
        self._size = size
        self._first = True
        self.giver = giver

    async def next_chunk(self, cursor: UUID | None) -> Chunk:
        """The next ones after `cursor`. Raises Overloaded."""
        after, seen = cursor or FIRST, 0
        found: list[Customer] = []
        doubtful: list[UUID] = []
        while True:
            limit = self._size - len(found)
            page = await self._crowd.page(after, limit)
            for number, customer in enumerate(page):
                if self._audience.takes(customer):
                    found.append(customer)
                if number % BREATH == 0:
                    await asyncio.sleep(0)
            if self._first:
                doubtful += (customer.id for customer in page)
            seen += len(page)
            after = page[-1].id if page else after
            last = len(page) < limit
            if last or len(found) > self._size // 2 or seen >= MAX_SEEN:
                self._first = False
                return Chunk(found, doubtful, seen, after, last)


async def work_of(
    ledger: Ledger, database: Database, gifts: GiftMaker, terms: Terms, campaign: Campaign,
    run: Run, timezone: str, size: int,
) -> RunWork:  # fmt: skip
    """Raises ValidationFailed when the campaign cannot give anything now."""
    begun = run.started_at or run.scheduled_at
    occasion = Occasion(run.code, run.id, begun, campaign.responsible, terms.reason)
    budget = None if terms.budget is None else Budget(run.code, terms.budget)
    gift = await gifts.make(terms, occasion)
    giver = Giver(ledger, database, occasion, gift, budget, terms.points or 1)
    listed = run.code if terms.audience is None else None
    audience = Audience(terms, run.scheduled_at, timezone)
    return RunWork(Crowd(database, begun, listed), audience, giver, max(size // gift.lots, 1))
