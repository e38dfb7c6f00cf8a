"""The book of published programs: what runs where and when, found without trying each on each.

A place (channel, store, store group) and a span of time in which nothing begins or ends have one
shelf of programs, put together when somebody first asks for it.
"""

from __future__ import annotations

import asyncio
from bisect import bisect_right
from collections.abc import Iterable, Sequence
from datetime import UTC, datetime
from itertools import zip_longest
from typing import Final

import asyncpg
import msgspec
from msgspec.structs import replace

from billing.catalog.service import Catalog
from billing.common.db import Database
from billing.programs import store
from billing.programs.conditions import fields
from billing.programs.contradictions import demands
from billing.programs.definition import compile_definition, read_definition
from billing.programs.limits import FIRST_PURCHASE
from billing.programs.model import Basket, Leaf, ProgramVersion, RedemptionRule

MAX_SHELVES: Final = 10_000
"""Shelves kept; more places than this and all are put together anew."""


class Edition(msgspec.Struct, frozen=True):
    """A published version and the time in which it is the one that counts; `until` exclusive."""

    program: ProgramVersion | RedemptionRule
    since: datetime
    until: datetime | None

    def counts_at(self, moment: datetime) -> bool:
        if moment < self.since or (self.until is not None and moment >= self.until):
            return False
        return self.program.runs_at(moment)


class Running(tuple[ProgramVersion, ...]):
    """Programs that run at one place and time, indexed by the goods they are for."""

    _everything: list[ProgramVersion]
    _by_group: dict[str, list[ProgramVersion]]
    _by_sku: dict[str, list[ProgramVersion]]

    @classmethod
    def of(cls, programs: Iterable[ProgramVersion]) -> Running:
        self = cls(sorted(programs, key=lambda program: program.code))
        self._everything, self._by_group, self._by_sku = [], {}, {}
        for program in self:
            lines = program.lines
            if not lines.groups and not lines.products:
                self._everything.append(program)
            for group in lines.groups:
                self._by_group.setdefault(group, []).append(program)
            for sku in lines.products:
                self._by_sku.setdefault(sku, []).append(program)
        return self

    def for_goods(self, basket: Basket) -> Sequence[ProgramVersion]:
        """Those that may give something for these lines."""
        if not self._by_group and not self._by_sku:
            return self._everything
        found = {program.code: program for program in self._everything}
        if self._by_group:
            for group in {group for line in basket.lines for group in line.ancestry}:
                for program in self._by_group.get(group, ()):
                    found[program.code] = program
        if self._by_sku:
            for sku in {line.sku for line in basket.lines}:
                for program in self._by_sku.get(sku or "", ()):
                    found[program.code] = program
        return list(found.values())


class Shelf(msgspec.Struct, frozen=True):
    """What runs at one place and time."""

    accruals: Running
    scenarios: dict[str, Running]
    redemptions: tuple[RedemptionRule, ...]


_EMPTY: Final = Running.of(())


class Book:
    """All published programs as of one revision of the catalog."""

    def __init__(self, editions: Sequence[Edition] = (), revision: int = -1) -> None:
        self.revision = revision
        self._editions = editions
        self._versions = {(one.program.code, one.program.version): one.program for one in editions}
        self._turns = _turns(editions)
        self._shelves: dict[tuple[str | None, str | None, str | None, int], Shelf] = {}
        self.needs_first_purchase = any(_asks_first_purchase(one.program) for one in editions)

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

    def version(self, code: str, version: int) -> ProgramVersion | RedemptionRule | None:
        """A version that was ever published, whether or not it still counts."""
        return self._versions.get((code, version))

    def with_draft(self, draft: ProgramVersion | RedemptionRule) -> Book:
        """The book as it would be, had `draft` always been the version of its program."""
        others = [one for one in self._editions if one.program.code != draft.code]
        return Book([*others, Edition(_asking(draft), draft.valid_from, None)], self.revision)

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
    """The book as of the catalog's revision, which moves with every publication."""

    def __init__(self, database: Database, catalog: Catalog) -> None:
        self._database = database
        self._catalog = catalog
        self._book = Book()
        self._loading = asyncio.Lock()

    async def current(self) -> Book:
        """The book of now. Raises Overloaded when it cannot be read."""
        revision = self._catalog.current().revision
        if revision != self._book.revision:
            async with self._loading:
                if revision != self._book.revision:
                    rows = await store.read_published(self._database)
                    self._book = Book(_editions(rows), revision)
        return self._book


def _editions(rows: Sequence[asyncpg.Record]) -> list[Edition]:
    editions: list[Edition] = []
    for row, following in zip_longest(rows, rows[1:]):
        until = row["archived_at"]
        if following is not None and following["code"] == row["code"]:
            until = min(following["effective_from"], until or following["effective_from"])
        body = read_definition(msgspec.json.decode(row["definition"]))
        program = _asking(compile_definition(row["code"], row["version"], body))
        editions.append(Edition(program, row["effective_from"], until))
    return editions


def _asking(program: ProgramVersion | RedemptionRule) -> ProgramVersion | RedemptionRule:
    if isinstance(program, RedemptionRule) or program.when is None:
        return program
    first_only = demands(program.when, Leaf(FIRST_PURCHASE, "=", True))
    return replace(program, asks=fields(program.when), first_only=first_only)


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
    )
