"""What a run gives to a customer: points that are the same for all, or what a program calculates.

A gift is made for one run; it turns customers into offers, and the ledger into transactions.
"""

from __future__ import annotations

from collections.abc import Callable
from datetime import datetime
from typing import Protocol
from uuid import UUID

import msgspec

from billing.campaigns.definition import Terms
from billing.campaigns.model import program_of, source_of
from billing.campaigns.programs import find_program
from billing.catalog.service import Catalog
from billing.common.db import Database
from billing.common.errors import ValidationFailed
from billing.common.money import split
from billing.customers.model import Customer
from billing.programs.book import Book, ProgramBook
from billing.programs.calculation import calculate
from billing.programs.model import ProgramVersion, Situation
from billing.programs.periods import lifetimes
from billing.scenarios.model import Spot, situation_of
from billing.scenarios.posting import Posting
from billing.scenarios.waiting import spot_of
from ledger.commands import Accrue, Command, Grant


class Occasion(msgspec.Struct, frozen=True):
    """A run as the ledger is told of it; `at` is from when points are counted."""

    code: str
    run_id: UUID
    at: datetime
    author: str
    reason: str

    def source(self, customer_id: UUID) -> str:
        return source_of(self.code, self.run_id, customer_id)


class Offer(msgspec.Struct, frozen=True):
    """A command, and what can be said of it once the ledger has decided."""

    command: Command
    points: Callable[[], int]
    why_nothing: Callable[[], str]


class Gift(Protocol):
    """`lots` is how many a customer gets: groups are the smaller for it."""

    lots: int

    async def offer(self, customer: Customer) -> Offer:
        """The command that gives it. Raises ValidationFailed."""

    async def estimate(self, customer: Customer) -> int:
        """How many points it is at most, in 1/100."""


class Points:
    """The same points for everybody: the lots are worked out once."""

    def __init__(self, terms: Terms, occasion: Occasion, zone: str) -> None:
        self._occasion, gift = occasion, terms.gift
        lives = lifetimes(gift.available, gift.expires, occasion.at, zone)
        self._grants = tuple(
            Grant(gift.bucket, ((None, part),), since, until, program_of(occasion.code))
            for part, (since, until) in zip(
                split(terms.points, [1] * len(lives)), lives, strict=True
            )
            if part and (until is None or until > (since or occasion.at))
        )
        if not self._grants:
            raise ValidationFailed.at("/expires", "is over: no points would live")
        self.lots = len(self._grants)
        self._steps = (Accrue(self._grants),)
        self._total = sum(grant.amount for grant in self._grants)

    async def offer(self, customer: Customer) -> Offer:
        occasion = self._occasion
        command = Command(
            customer_id=customer.id,
            kind="accrual",
            occurred_at=occasion.at,
            steps=self._steps,
            source=occasion.source(customer.id),
            author=occasion.author,
            reason=occasion.reason,
        )
        return Offer(command, self._points, _nothing)

    async def estimate(self, customer: Customer) -> int:
        return self._total

    def _points(self) -> int:
        return self._total


class Calculated:
    """What one program gives for its event, which the run is: once a customer and run."""

    def __init__(
        self, program: ProgramVersion, event: str, book: Book, catalog: Catalog,
        occasion: Occasion, zone: str,
    ) -> None:  # fmt: skip
        parts = program.available.instalments if program.available is not None else None
        self.lots = 1 if parts is None else parts.count
        self._code = program.code
        self._event = event
        self._book = book
        self._catalog = catalog
        self._occasion = occasion
        self._zone = zone
        self._spots: dict[tuple[str | None, str | None], Spot] = {}

    async def offer(self, customer: Customer) -> Offer:
        programs, situation = await self._asked(customer)
        posting = Posting(programs, situation)
        occasion = self._occasion
        command = posting.command(occasion.source(customer.id), occasion.author)
        return Offer(
            msgspec.structs.replace(command, reason=occasion.reason),
            lambda: sum(award.points for award in posting.awards),
            lambda: posting.reasons[0].code if posting.reasons else _nothing(),
        )

    async def estimate(self, customer: Customer) -> int:
        programs, situation = await self._asked(customer)
        return sum(award.points for award in calculate(programs, situation))

    async def _asked(self, customer: Customer) -> tuple[list[ProgramVersion], Situation]:
        spot = await self._spot(customer)
        occasion = self._occasion
        programs = self._book.scenarios(
            self._event, spot.channel, spot.store, spot.store_group, occasion.at
        )
        key = str(occasion.run_id)
        situation = situation_of(self._event, key, customer, spot, occasion.at)
        return [one for one in programs if one.code == self._code], situation

    async def _spot(self, customer: Customer) -> Spot:
        """Where the customer registered, as for an event that names no place."""
        place = (customer.channel, customer.store)
        spot = self._spots.get(place)
        if spot is None:
            spot = self._spots[place] = await spot_of(self._catalog, *place, self._zone)
        return spot


class GiftMaker:
    """Makes gifts; `timezone` is the chain's."""

    def __init__(
        self, database: Database, catalog: Catalog, book: ProgramBook, timezone: str
    ) -> None:
        self._database = database
        self._catalog = catalog
        self._book = book
        self._timezone = timezone

    async def make(self, terms: Terms, occasion: Occasion) -> Gift:
        """Raises ValidationFailed when there is nothing to give then."""
        if terms.program is None:
            return Points(terms, occasion, self._timezone)
        program = await find_program(self._database, terms.program, occasion.at)
        if program.scenario is None:
            raise TypeError("find_program finds scenarios")
        await self._catalog.refresh()
        return Calculated(
            program,
            program.scenario.on,
            await self._book.current(),
            self._catalog,
            occasion,
            self._timezone,
        )


def _nothing() -> str:
    return "nothing_given"
