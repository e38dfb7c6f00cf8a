"""Birthday points: a pass over those whose birthday is near enough to a program's.

A pass can be cut off anywhere and begun again: what a program gave for a year's birthday is
counted under the customer's lock, by the counter that POST /v1/events meets as well.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from datetime import timedelta
from typing import Final
from uuid import UUID
from zoneinfo import ZoneInfo

import structlog
from msgspec import Struct

from billing.birthdays import store
from billing.catalog.service import Catalog
from billing.common.db import Database
from billing.common.errors import ValidationFailed
from billing.customers.model import Customer
from billing.programs.book import Book, ProgramBook
from billing.programs.calculation import calculate
from billing.programs.limits import Used, facts_of, used
from billing.programs.model import ProgramVersion, Situation
from billing.scenarios.model import BIRTHDAY, Spot, birthday_key, situation_of, source_of
from billing.scenarios.posting import NOTHING, Posting
from billing.scenarios.waiting import spot_of
from ledger.commands import Command, Fact
from ledger.errors import Refusal, Unavailable
from ledger.group import Result
from ledger.reads import facts_now
from ledger.service import Ledger

PASS_TIMEOUT_S: Final = 540.0
MAX_AT_ONCE: Final = 10
"""Programs in one posting: their codes make its natural key. What is left comes with the next."""
_AUTHOR: Final = "birthdays"
_OTHER_ZONES: Final = timedelta(days=1)
_NOBODY: Final = UUID(int=0)

log = structlog.stdlib.get_logger(__name__)


class _Case(Struct, frozen=True):
    """A customer near a birthday, the programs that wait for it, and what they count."""

    situation: Situation
    programs: Sequence[ProgramVersion]
    wanted: tuple[Fact, ...]


class Birthdays:
    """`zone` is the chain's: of customers who registered in no store with another."""

    def __init__(
        self,
        ledger: Ledger,
        database: Database,
        catalog: Catalog,
        book: ProgramBook,
        zone: ZoneInfo,
    ) -> None:
        self._ledger = ledger
        self._database = database
        self._catalog = catalog
        self._book = book
        self._zone = zone

    async def give(self, *, limit: int = 1000, stopping: Callable[[], bool] = lambda: False) -> int:
        """One pass, `limit` customers at a time; how many got points.

        0 at once when another worker is at it. Raises Overloaded or Unavailable when the database
        is away: the next pass goes on.
        """
        async with self._database.transaction(timeout_s=PASS_TIMEOUT_S) as tx:
            if not await store.take_turn(tx):
                return 0
            await self._catalog.refresh()
            book = await self._book.current()
            given = 0
            for day in self._days(book):
                after = _NOBODY
                while not stopping():
                    page = await store.born_on(self._database, day, after, limit)
                    if page:
                        given += await self._give(page, book)
                        after = page[-1].id
                    if len(page) < limit:
                        break
            return given

    def _days(self, book: Book) -> Iterator[int]:
        """The days of birth some program's window reaches, with a day more for other zones."""
        now = self._ledger.clock()
        rules = [one.scenario for one in book.anywhere(BIRTHDAY, now) if one.scenario]
        if not rules:
            return
        today = now.astimezone(self._zone).date()
        day = today - timedelta(days=max(rule.days_after for rule in rules)) - _OTHER_ZONES
        last = today + timedelta(days=max(rule.days_before for rule in rules)) + _OTHER_ZONES
        seen: set[int] = set()
        while day <= last:
            fresh = [one for one in store.days_of_year(day) if one not in seen]
            seen.update(fresh)
            yield from fresh
            day += timedelta(days=1)

    async def _give(self, page: Sequence[Customer], book: Book) -> int:
        cases = [case for one in page if (case := await self._case(one, book)) is not None]
        facts = await facts_now(self._ledger, (fact for case in cases for fact in case.wanted))
        commands = [
            command
            for case in cases
            if (command := _command(case, used(facts, case.wanted))) is not None
        ]
        if not commands:
            return 0
        given = 0
        for command, fate in zip(commands, await self._ledger.execute_many(commands), strict=True):
            if isinstance(fate, Result):
                given += 1
            elif isinstance(fate, Unavailable):
                raise fate
            elif not (isinstance(fate, Refusal) and fate.code in (NOTHING, "source_exists")):
                log.error("birthday_failed", source=command.source, error=repr(fate))
        return given

    async def _case(self, customer: Customer, book: Book) -> _Case | None:
        """None when no program would give anything even if nothing were given yet."""
        try:
            spot: Spot = await spot_of(
                self._catalog, customer.channel, customer.store, self._zone.key
            )
        except ValidationFailed as error:
            log.error("birthday_failed", customer=str(customer.id), error=error.detail)
            return None
        now = self._ledger.clock()
        programs = book.scenarios(BIRTHDAY, spot.channel, spot.store, spot.store_group, now)
        if not programs:
            return None
        key = birthday_key(customer, spot, now)
        situation = situation_of(BIRTHDAY, key, customer, spot, now)
        if not calculate(programs, situation):
            return None
        return _Case(situation, programs, facts_of(programs, situation))


def _command(case: _Case, counted: Used) -> Command | None:
    """The command for what is not given yet. Its source names year and programs, so that one
    that opens later has its own."""
    awards = calculate(case.programs, case.situation, (), counted)
    codes = sorted(award.program for award in awards)[:MAX_AT_ONCE]
    if not codes:
        return None
    programs = [one for one in case.programs if one.code in codes]
    key = f"{case.situation.event_key}/{'+'.join(codes)}"
    source = source_of(BIRTHDAY, key, case.situation.member.id)
    return Posting(programs, case.situation).command(source, _AUTHOR)
