"""The work of a preview: how many customers a campaign is for, and what it costs at most.

Nothing is written. Customers are looked at as a run looks at them, a page at a time.
"""

from __future__ import annotations

import asyncio
from itertools import islice
from typing import Any, Final
from zoneinfo import ZoneInfo

import msgspec

from billing.campaigns import store
from billing.campaigns.audience import Audience, obstacle_of
from billing.campaigns.crowd import FIRST, Crowd
from billing.campaigns.definition import compile_terms, read
from billing.campaigns.gifts import Gift, GiftMaker, Occasion
from billing.campaigns.giving import Tally
from billing.campaigns.schemas import PreviewOut
from billing.common.db import Database
from billing.common.errors import Conflict, NotFound
from billing.common.money import format_amount
from billing.customers.model import Customer
from billing.jobs.model import Progress
from ledger.group import Clock

KIND: Final = "campaign_preview"
PAGE: Final = 1000
BREATH: Final = 50
SHOWN: Final = 5


class PreviewParameters(msgspec.Struct, frozen=True):
    campaign: str
    revision: int


class Previewer:
    """Does jobs of the kind `campaign_preview`."""

    def __init__(self, database: Database, gifts: GiftMaker, clock: Clock, zone: ZoneInfo) -> None:
        self._database = database
        self._gifts = gifts
        self._clock = clock
        self._zone = zone

    async def run(self, progress: Progress, parameters: dict[str, Any]) -> PreviewOut:
        """Progress counts customers. Raises NotFound, Conflict, ValidationFailed."""
        asked = msgspec.convert(parameters, PreviewParameters)
        campaign = await store.read(self._database, asked.campaign)
        if campaign is None:
            raise NotFound(f"There is no campaign {asked.campaign!r}.")
        if campaign.revision != asked.revision:
            raise Conflict("campaign_state", "It was changed meanwhile; ask for another preview.")
        terms = compile_terms(campaign.code, read(campaign.definition), self._zone)
        now = self._clock()
        at = max(terms.schedule.first(now) or now, now)
        occasion = Occasion(campaign.code, FIRST, at, campaign.author, terms.reason)
        gift = await self._gifts.make(terms, occasion)
        listed = campaign.code if terms.audience is None else None
        progress.total = campaign.audience_size
        if listed is None:
            progress.total = await store.count_customers(self._database, now)
        audience = Audience(terms, at, self._zone.key)
        tally = await _look(Crowd(self._database, now, listed), audience, gift, progress)
        return PreviewOut(
            campaign=campaign.code,
            revision=campaign.revision,
            run_at=at,
            customers=tally.customers,
            receiving=tally.given,
            points=format_amount(tally.points),
            skipped=tally.skipped,
            budget=None if terms.budget is None else format_amount(terms.budget),
            runs=terms.schedule.runs(now),
            next_runs=list(islice(terms.schedule.upcoming(now), SHOWN)),
        )


async def _look(crowd: Crowd, audience: Audience, gift: Gift, progress: Progress) -> Tally:
    tally, after = Tally(), FIRST
    while True:
        page = await crowd.page(after, PAGE)
        for number, customer in enumerate(page):
            if audience.takes(customer):
                await _count(customer, gift, tally)
            if number % BREATH == 0:
                await asyncio.sleep(0)
        progress.done += len(page)
        if len(page) < PAGE:
            return tally
        after = page[-1].id


async def _count(customer: Customer, gift: Gift, tally: Tally) -> None:
    tally.customers += 1
    obstacle = obstacle_of(customer)
    points = 0 if obstacle is not None else await gift.estimate(customer)
    if points:
        tally.give(points)
    else:
        tally.skip(obstacle or "nothing_given")
