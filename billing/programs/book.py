"""The book of published programs: what runs where and when, found without trying each on each.

A place (channel, store, store group) and a span of time in which nothing begins or ends have one
shelf of programs, put together when somebody first asks for it.
"""

from __future__ import annotations

import asyncio
from bisect import bisect_right
from collections.abc import Iterable, Sequence
from datetime import UTC, datetime
from functools import cached_property
from typing import Final

import msgspec

from billing.catalog.service import Catalog
from billing.common.db import Database
from billing.programs.conditions import fields
from billing.programs.editions import Edition as Edition
from billing.programs.editions import Editions, asking
from billing.programs.limits import FIRST_PURCHASE
from billing.programs.model import Basket, ProgramVersion, RedemptionRule

MAX_INDEXED: Final = 100
"""Goods by which one program is found; one for more is asked itself, so that an index of every
place does not hold them all."""

MAX_SHELVES: Final = 10_000
"""Shelves kept; more places than this and all are put together anew."""


class Running(tuple[ProgramVersion, ...]):
    """Programs that run at one place and time, indexed by the goods they are for."""

    _everything: list[ProgramVersion]
    _by_group: dict[str, list[ProgramVersion]]
    _by_sku: dict[str, list[ProgramVersion]]
    _long: list[ProgramVersion]

    @classmethod
    def of(cls, programs: Iterable[ProgramVersion]) -> Running:
        self = cls(sorted(programs, key=lambda program: program.code))
        self._everything, self._long, self._by_group, self._by_sku = [], [], {}, {}
        for program in self:
            lines = program.lines
            if not lines.groups and not lines.products:
                self._everything.append(program)
            elif len(lines.groups) + len(lines.products) > MAX_INDEXED:
                self._long.append(program)
            else:
                for group in lines.groups:
                    self._by_group.setdefault(group, []).append(program)
                for sku in lines.products:
                    self._by_sku.setdefault(sku, []).append(program)
        return self

    def for_goods(self, basket: Basket) -> Sequence[ProgramVersion]:
        """Those that may give something for these lines."""
        if len(self._everything) == len(self):
            return self._everything
        found = {program.code: program for program in self._everything}
        groups = {group for line in basket.lines for group in line.ancestry}
        skus = {line.sku for line in basket.lines}
        for group in groups if self._by_group else ():
            found.update((program.code, program) for program in self._by_group.get(group, ()))
        for sku in skus if self._by_sku else ():
            found.update((program.code, program) for program in self._by_sku.get(sku or "", ()))
        for program in self._long:
            lines = program.lines
            if not (lines.groups.isdisjoint(groups) and lines.products.isdisjoint(skus)):
                found[program.code] = program
        return list(found.values())


class Shelf(msgspec.Struct, frozen=True):
    """What runs at one place and time."""

    accruals: Running
    scenarios: dict[str, Running]
    redemptions: tuple[RedemptionRule, ...]
    asks_first_purchase: bool


_EMPTY: Final = Running.of(())


class Book:
    """All published programs as of one structure of the catalog."""

    def __init__(self, editions: Sequence[Edition] = (), structure: int = -1) -> None:
        self.structure = structure
        self._editions = editions
        self._versions = {(one.program.code, one.program.version): one.program for one in editions}
        self._turns = _turns(editions)
        self._publications = sorted(
            turn for one in editions for turn in (one.since, one.until) if turn is not None
        )
        self._shelves: dict[tuple[str | None, str | None, str | None, int], Shelf] = {}

    @cached_property
    def needs_first_purchase(self) -> bool:
        """Whether any program asks for it, wherever and whenever it runs."""
        return any(_asks_first_purchase(one.program) for one in self._editions)

    def accruals(
        self, channel: str | None, store_code: str | None, group: str | None, moment: datetime
    ) -> Running:
        """What gives points for a sale: accrual programs, and scenarios of a first purchase."""
        return self._shelf(channel, store_code, group, moment).accruals

    def scenarios(
        self,
        event: str,
        channel: str | None,
        store_code: str | None,
        group: str | None,
        moment: datetime,
    ) -> Running:
        """What gives points for an event."""
        return self._shelf(channel, store_code, group, moment).scenarios.get(event, _EMPTY)

    def anywhere(self, event: str, moment: datetime) -> list[ProgramVersion]:
        """What gives points for an event at some place or other."""
        return [
            one.program
            for one in self._editions
            if isinstance(one.program, ProgramVersion) and one.counts_at(moment)
            if one.program.scenario is not None and one.program.scenario.on == event
        ]

    def redemptions(
        self, channel: str | None, store_code: str | None, group: str | None, moment: datetime
    ) -> tuple[RedemptionRule, ...]:
        """What says how points may pay, the highest priority first."""
        return self._shelf(channel, store_code, group, moment).redemptions

    def asks_first_purchase(
        self, channel: str | None, store_code: str | None, group: str | None, moment: datetime
    ) -> bool:
        """Whether a sale there and then depends on its being the customer's first."""
        return self._shelf(channel, store_code, group, moment).asks_first_purchase

    def version(self, code: str, version: int) -> ProgramVersion | RedemptionRule | None:
        """A version that was ever published, whether or not it still counts."""
        return self._versions.get((code, version))

    def republished(
        self,
        channel: str | None,
        store_code: str | None,
        group: str | None,
        one: datetime,
        other: datetime,
    ) -> bool:
        """Whether what works at a place was published or archived between two moments."""
        first, last = sorted((one, other))
        if bisect_right(self._publications, first) == bisect_right(self._publications, last):
            return False
        return any(
            turn is not None and first < turn <= last
            for edition in self._editions
            if edition.program.scope.covers(channel, store_code, group)
            for turn in (edition.since, edition.until)
        )

    def with_draft(self, draft: ProgramVersion | RedemptionRule) -> Book:
        """The book as it would be, had `draft` always been the version of its program."""
        others = [one for one in self._editions if one.program.code != draft.code]
        return Book([*others, Edition(asking(draft), draft.valid_from, None)], self.structure)

    def _shelf(
        self, channel: str | None, store_code: str | None, group: str | None, moment: datetime
    ) -> Shelf:
        key = (channel, store_code, group, bisect_right(self._turns, moment))
        shelf = self._shelves.get(key)
        if shelf is None:
            if len(self._shelves) >= MAX_SHELVES:
                self._shelves.clear()
            shelf = self._shelves[key] = _shelf_of(
                one.program
                for one in self._editions
                if one.counts_at(moment) and one.program.scope.covers(channel, store_code, group)
            )
        return shelf


class ProgramBook:
    """The book as of the catalog's structure, which moves with every publication."""

    def __init__(self, database: Database, catalog: Catalog) -> None:
        self._catalog = catalog
        self._editions = Editions(database)
        self._book = Book()
        self._loading = asyncio.Lock()

    async def current(self) -> Book:
        """The book of now. Raises Overloaded when it cannot be read."""
        if self._catalog.structure() != self._book.structure:
            async with self._loading:
                structure = self._catalog.structure()
                if structure != self._book.structure:
                    self._book = Book(await self._editions.load(), structure)
        return self._book


def _asks_first_purchase(program: ProgramVersion | RedemptionRule) -> bool:
    if isinstance(program, RedemptionRule):
        return program.when is not None and FIRST_PURCHASE in fields(program.when)
    scenario = program.scenario
    return FIRST_PURCHASE in program.asks or (
        scenario is not None and scenario.on == "first_purchase"
    )


def _turns(editions: Iterable[Edition]) -> list[datetime]:
    """The moments at which something begins or ends."""
    turns = {
        moment
        for one in editions
        for moment in (one.since, one.until, one.program.valid_from, one.program.valid_to)
        if moment is not None
    }
    return sorted(moment.astimezone(UTC) for moment in turns)


def _shelf_of(programs: Iterable[ProgramVersion | RedemptionRule]) -> Shelf:
    accruals: list[ProgramVersion] = []
    scenarios: dict[str, list[ProgramVersion]] = {}
    redemptions: list[RedemptionRule] = []
    for program in programs:
        if isinstance(program, RedemptionRule):
            redemptions.append(program)
        elif program.scenario is None or program.scenario.on == "first_purchase":
            accruals.append(program)
        else:
            scenarios.setdefault(program.scenario.on, []).append(program)
    redemptions.sort(key=lambda rule: (-rule.priority, rule.code))
    return Shelf(
        Running.of(accruals),
        {event: Running.of(found) for event, found in scenarios.items()},
        tuple(redemptions),
        any(map(_asks_first_purchase, accruals)) or any(map(_asks_first_purchase, redemptions)),
    )
