"""Published versions, compiled once: they never change."""

from __future__ import annotations

import asyncio
from collections.abc import Iterator, Sequence
from datetime import datetime
from itertools import zip_longest
from typing import Final

import msgspec
import structlog
from msgspec.structs import replace

from billing.common.db import Database
from billing.programs import store
from billing.programs.conditions import fields
from billing.programs.contradictions import demands
from billing.programs.definition import Program, compile_stored
from billing.programs.limits import FIRST_PURCHASE
from billing.programs.model import Leaf, RedemptionRule

CHUNK: Final = 20
"""Definitions read at a time; one may name 20,000 products."""

Key = tuple[str, int]
"""Code and version."""

log = structlog.stdlib.get_logger(__name__)


class Edition(msgspec.Struct, frozen=True):
    """A published version and the time in which it is the one that counts; `until` exclusive."""

    program: Program
    since: datetime
    until: datetime | None

    def counts_at(self, moment: datetime) -> bool:
        if moment < self.since or (self.until is not None and moment >= self.until):
            return False
        return self.program.runs_at(moment)


class Unreadable(msgspec.Struct, frozen=True):
    """A version that another release stored and this one cannot read, and why."""

    code: str
    version: int
    error: Exception


class Editions:
    """Reads them, and keeps what is compiled. One `load` at a time."""

    def __init__(self, database: Database) -> None:
        self._database = database
        self._programs: dict[Key, Program | Unreadable] = {}

    async def load(self) -> list[Edition]:
        """Every published version that can be read, by program, oldest first.

        One that cannot is left out, and logged once: it must not stop the sales of all others.
        Whatever it followed is over all the same. Raises Overloaded.
        """
        rows = await store.read_published(self._database)
        new = [key for row in rows if (key := (row["code"], row["version"])) not in self._programs]
        for start in range(0, len(new), CHUNK):
            await self._compile(new[start : start + CHUNK])
        return list(self._editions(rows))

    async def _compile(self, keys: Sequence[Key]) -> None:
        for row in await store.read_definitions(self._database, keys):
            key = row["code"], row["version"]
            program = read_program(*key, msgspec.json.decode(row["definition"]))
            self._programs[key] = program
            if isinstance(program, Unreadable):
                log.error(
                    "a published program version cannot be read and counts for nothing; "
                    "publish a new version of it",
                    code=program.code,
                    version=program.version,
                    exc_info=program.error,
                    unreadable=sum(isinstance(one, Unreadable) for one in self._programs.values()),
                )
            await asyncio.sleep(0)  # Sales go on between two of them.

    def _editions(self, rows: store.Versions) -> Iterator[Edition]:
        for row, following in zip_longest(rows, rows[1:]):
            until = row["archived_at"]
            if following is not None and following["code"] == row["code"]:
                until = min(following["effective_from"], until or following["effective_from"])
            program = self._programs[row["code"], row["version"]]
            if not isinstance(program, Unreadable):
                yield Edition(program, row["effective_from"], until)


def read_program(code: str, version: int, stored: object) -> Program | Unreadable:
    """The program of a stored definition."""
    try:
        return asking(compile_stored(code, version, stored))
    except Exception as error:  # Whatever it is, it must stop nothing but this program.
        return Unreadable(code, version, error)


def asking(program: Program) -> Program:
    """`program` with what its condition looks at and demands."""
    if isinstance(program, RedemptionRule) or program.when is None:
        return program
    first_only = demands(program.when, Leaf(FIRST_PURCHASE, "=", True))
    return replace(program, asks=fields(program.when), first_only=first_only)
