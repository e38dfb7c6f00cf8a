"""Giving to a chunk of customers, and counting what became of each."""

from __future__ import annotations

import asyncio
from collections.abc import Mapping, Sequence
from typing import Final
from uuid import UUID

import msgspec
import structlog

from billing.campaigns import store
from billing.campaigns.audience import APPROVAL, BUDGET, obstacle_of
from billing.campaigns.budget import SPENT, Budget
from billing.campaigns.gifts import Gift, Occasion, Offer
from billing.common.db import Database
from billing.common.errors import ValidationFailed
from billing.customers.model import Customer
from billing.scenarios.posting import NOTHING
from ledger.commands import Command
from ledger.errors import Refusal, Unavailable
from ledger.group import Result
from ledger.service import Ledger

ATTEMPTS: Final = 5
"""At customers who are busy, with growing pauses; then they are set aside."""
PAUSE_S: Final = 0.2
GIVE_TIMEOUT_S: Final = 60.0
MAX_ERROR: Final = 500

Fate = Result | BaseException

log = structlog.stdlib.get_logger(__name__)


class Tally(msgspec.Struct):
    """What became of customers of the audience. `failed` is why, by customer."""

    customers: int = 0
    given: int = 0
    points: int = 0
    skipped: dict[str, int] = msgspec.field(default_factory=dict)
    failed: dict[UUID, str] = msgspec.field(default_factory=dict)

    def give(self, points: int) -> None:
        self.given += 1
        self.points += points

    def skip(self, reason: str, number: int = 1) -> None:
        self.skipped[reason] = self.skipped.get(reason, 0) + number


class Giver:
    """Gives to customers of one run, once each, however often it is asked."""

    def __init__(
        self, ledger: Ledger, database: Database, occasion: Occasion, gift: Gift,
        budget: Budget | None, least: int,
    ) -> None:  # fmt: skip
        self._ledger = ledger
        self._database = database
        self._occasion = occasion
        self._gift = gift
        self._budget = budget
        self._least = least

    async def give(
        self, customers: Sequence[Customer], doubtful: Sequence[UUID], left: int | None = None
    ) -> Tally:
        """Give to who may get it and has not got it yet, no more than is `left` (in 1/100).

        Raises Unavailable, Overloaded: then what has happened is found at the next attempt.
        """
        known = await self.known(doubtful)
        tally = counted(known)
        tally.customers += sum(one.id not in known for one in customers)
        fresh = [one for one in customers if one.id not in known and not _skipped(one, tally)]
        if fresh and await self._is_spent():
            tally.skip(BUDGET, len(fresh))
            return tally
        if left is not None:
            fresh = await self._allowed(fresh, left - tally.points, tally)
        await self._post(await self._offers(fresh, tally), tally)
        return tally

    async def _allowed(
        self, customers: Sequence[Customer], left: int, tally: Tally
    ) -> list[Customer]:
        """Those for whom enough is left, at the most it may cost."""
        found = []
        for customer in customers:
            try:
                cost = await self._gift.estimate(customer)
            except ValidationFailed:
                cost = 0  # No offer can be made: it is set aside.
            if cost > left:
                tally.skip(APPROVAL)
            else:
                left -= cost
                found.append(customer)
        return found

    async def known(self, customers: Sequence[UUID]) -> dict[UUID, int]:
        """What was given to them before, by a worker that died or fell behind."""
        return await store.given_already(
            self._database, [self._occasion.source(one) for one in customers]
        )

    async def _is_spent(self) -> bool:
        """Whether nobody can get anything any more, without asking the ledger for each."""
        if self._budget is None:
            return False
        return await self._budget.left(self._database) < self._least

    async def _offers(self, customers: Sequence[Customer], tally: Tally) -> dict[UUID, Offer]:
        offers: dict[UUID, Offer] = {}
        for customer in customers:
            try:
                offers[customer.id] = await self._gift.offer(customer)
            except ValidationFailed as error:
                tally.failed[customer.id] = error.detail[:MAX_ERROR]
        return offers

    async def _post(self, offers: Mapping[UUID, Offer], tally: Tally) -> None:
        waiting = dict(offers)
        for attempt in range(ATTEMPTS):
            if attempt:
                await asyncio.sleep(PAUSE_S * 2**attempt)
            waiting, why = await self._attempt(waiting, tally)
            if not waiting:
                return
            if len(waiting) == len(offers):
                raise why  # Not some customers are busy: the ledger is away.
        for customer_id in waiting:
            tally.failed[customer_id] = "The customer was busy at every attempt."

    async def _attempt(
        self, offers: dict[UUID, Offer], tally: Tally
    ) -> tuple[dict[UUID, Offer], Unavailable]:
        """Those to be tried again, and why."""
        commands = [self._command(offer) for offer in offers.values()]
        fates = await self._ledger.execute_many(commands, GIVE_TIMEOUT_S) if commands else []
        busy: dict[UUID, Offer] = {}
        posted: list[str] = []
        why = Unavailable("")
        for (customer_id, offer), fate in zip(offers.items(), fates, strict=True):
            if isinstance(fate, Unavailable):
                busy[customer_id], why = offer, fate
            elif isinstance(fate, Refusal) and fate.code == "source_exists":
                posted.append(self._occasion.source(customer_id))
            else:
                _count(customer_id, offer, fate, tally)
        for points in (await store.given_already(self._database, posted)).values():
            tally.give(points)
        return busy, why

    def _command(self, offer: Offer) -> Command:
        return offer.command if self._budget is None else self._budget.within(offer)


def counted(known: Mapping[UUID, int]) -> Tally:
    """The tally of customers to whom something was given before."""
    tally = Tally(customers=len(known))
    for points in known.values():
        tally.give(points)
    return tally


def _skipped(customer: Customer, tally: Tally) -> bool:
    reason = obstacle_of(customer)
    if reason is not None:
        tally.skip(reason)
    return reason is not None


def _count(customer_id: UUID, offer: Offer, fate: Fate, tally: Tally) -> None:
    if isinstance(fate, Result):
        tally.give(offer.points())
    elif isinstance(fate, Refusal) and fate.code == NOTHING:
        tally.skip(_REASONS.get(why := offer.why_nothing(), why))
    elif isinstance(fate, Refusal) and fate.code == SPENT:
        tally.skip(BUDGET)
    elif isinstance(fate, Refusal):
        tally.failed[customer_id] = f"{fate.code}: {fate.detail}"[:MAX_ERROR]
    else:
        log.error("campaign_customer_failed", customer=str(customer_id), error=repr(fate))
        tally.failed[customer_id] = repr(fate)[:MAX_ERROR]


_REASONS = {"limit_budget": "program_budget", "limit_day": "daily_limit"}
