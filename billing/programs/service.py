"""Programs: drafts, versions, publication. What is published stands in `billing.programs.book`."""

from __future__ import annotations

import asyncio
from collections.abc import Iterable, Sequence
from datetime import UTC, datetime
from typing import Any, Final

import asyncpg
import msgspec
from sqlalchemy.exc import IntegrityError
from sqlalchemy.ext.asyncio import AsyncConnection

from billing.catalog import store as catalog_store
from billing.catalog.service import Catalog
from billing.common.db import Database
from billing.common.errors import Conflict, NotFound, ValidationFailed
from billing.events.schemas import ProgramPublished
from billing.events.store import record
from billing.programs import store
from billing.programs.definition import (
    Program,
    compile_definition,
    read_draft,
    stored_definition,
)
from billing.programs.editions import Unreadable, read_program
from billing.programs.limits import HOUSE, budget_name
from billing.programs.model import Multiplier, ProgramVersion
from billing.programs.names import check_names, named_products
from billing.programs.neighbours import Neighbour, check_neighbours
from billing.programs.portrait import portrait
from billing.programs.schemas import DefinitionIn, ProgramIn, Sentence, Status, VersionOut

MAX_SENTENCES: Final = 1000
MAX_SENTENCE: Final = 10_000
"""Sentences of published versions kept, and the characters of one."""


class Programs:
    """What marketers do with programs."""

    def __init__(self, database: Database, catalog: Catalog) -> None:
        self._database = database
        self._catalog = catalog
        self._sentences: dict[tuple[str, int], Sentence] = {}

    async def create(self, body: ProgramIn, author: str) -> VersionOut:
        """A new program with its first draft. Raises ValidationFailed, also for a known code."""
        definition = _definition_of(body)
        program = await self._checked(body.code, 1, definition)
        try:
            async with self._database.transaction() as tx:
                await _check_multiplied(tx, program)
                await store.insert_program(tx, body.code)
                await store.insert_version(tx, body.code, 1, stored_definition(definition), author)
        except IntegrityError:
            raise ValidationFailed.at(
                "/code",
                f"program {body.code!r} exists; "
                f"POST /v1/programs/{body.code}/versions makes a new version of it",
            ) from None
        return await self.version(body.code, 1)

    async def draft(self, code: str, body: DefinitionIn, author: str) -> VersionOut:
        """A new draft version."""
        compile_definition(code, 1, body)  # What is wrong by itself is said of any program.
        async with self._database.transaction() as tx:
            await self._locked(tx, code)
            versions = await store.locked_versions(tx, code)
            kind, version = versions[0].definition["type"], versions[-1].version + 1
            if body.type != kind:
                raise ValidationFailed.at(
                    "/type", f"must stay {kind!r}; make another program for {body.type!r}"
                )
            await _check_multiplied(tx, await self._checked(code, version, body))
            await store.insert_version(tx, code, version, stored_definition(body), author)
        return await self.version(code, version)

    async def publish(
        self, code: str, since: datetime | None, publisher: str, now: datetime
    ) -> VersionOut:
        """Publish the newest draft, to count from `since` on. It never changes afterwards.

        A first version may count from the past (a chain that moves in); a later one may not:
        nobody could explain the receipts already given.
        """
        async with self._database.transaction() as tx:
            await self._locked(tx, code)
            versions = await store.locked_versions(tx, code)
            draft = versions[-1]
            if draft.effective_from is not None:
                raise ValidationFailed.at("", f"version {draft.version} is published already")
            published = [v.effective_from for v in versions if v.effective_from is not None]
            at = since or now
            if published and at < max(now, *published):
                raise ValidationFailed.at(
                    "/from", "must not be in the past, nor before a version already published"
                )
            program = await self._checked(code, draft.version, read_draft(draft.definition))
            if program.valid_to is not None and program.valid_to <= at:
                raise ValidationFailed.at(
                    "/from", "is not before the program's valid_to: it would never count"
                )
            # The revision's lock: whoever publishes a neighbour waits, and then sees this one.
            await catalog_store.bump(tx, structure=True)
            check_neighbours(Neighbour(program, at, None), await _neighbours(tx, program, at))
            await store.publish_version(tx, code, draft.version, at, now, publisher)
            told = ProgramPublished(
                program=code,
                version=draft.version,
                type=draft.definition["type"],
                name=draft.definition["name"],
                effective_from=at,
            )
            await record(tx, told, now)
            if isinstance(program, ProgramVersion) and program.limits.budget is not None:
                await store.begin_counter(tx, HOUSE, budget_name(code))
        await self._catalog.refresh()
        return await self.version(code, draft.version)

    async def archive(self, code: str, now: datetime) -> VersionOut:
        """End a program now: later receipts earn nothing by it."""
        async with self._database.transaction() as tx:
            await self._locked(tx, code)
            await store.archive_program(tx, code, now)
            await catalog_store.bump(tx, structure=True)
        await self._catalog.refresh()
        rows = await store.read_versions(self._database, code)
        return (await self._out(rows, rows[-1:]))[0]

    async def version(self, code: str, version: int) -> VersionOut:
        """One version. Raises NotFound."""
        rows = await store.read_versions(self._database, code)
        wanted = [row for row in rows if row["version"] == version]
        if not rows:
            raise NotFound(f"There is no program {code!r}.")
        if not wanted:
            raise NotFound(f"Program {code!r} has no version {version}.")
        return (await self._out(rows, wanted))[0]

    async def scopes(self, code: str) -> list[dict[str, list[str]]]:
        """Where each version works, whether or not it counts. Raises NotFound."""
        rows = await store.read_versions(self._database, code)
        if not rows:
            raise NotFound(f"There is no program {code!r}.")
        return [msgspec.json.decode(row["definition"]).get("scope", {}) for row in rows]

    async def page(self, after: str, limit: int) -> list[VersionOut]:
        """The newest version of each program, by code."""
        rows = await store.read_latest(self._database, after, limit)
        return await self._out(rows, rows)

    async def _out(
        self, rows: Sequence[asyncpg.Record], wanted: Iterable[asyncpg.Record]
    ) -> list[VersionOut]:
        """Those `wanted` of `rows`, which say what each has been superseded by."""
        now = datetime.now(UTC)
        newest = {
            row["code"]: row["version"]
            for row in rows
            if row["effective_from"] is not None and row["effective_from"] <= now
        }
        return [await self._told(row, _status(row, newest, now)) for row in wanted]

    async def _told(self, row: asyncpg.Record, status: Status) -> VersionOut:
        key = row["code"], row["version"]
        definition = msgspec.json.decode(row["definition"])
        sentence, unreadable = self._sentences.get(key), None
        if sentence is None:
            program = read_program(*key, definition)
            if isinstance(program, Unreadable):
                sentence, unreadable = _UNREADABLE, str(program.error)
            else:
                sentence = Sentence(portrait(program, "en"), portrait(program, "ru"))
                self._keep(key, sentence, published=row["effective_from"] is not None)
            await asyncio.sleep(0)  # Long definitions take their time, and a page has many.
        return VersionOut(
            *key,
            status,
            row["effective_from"],
            row["created_at"],
            row["author"],
            definition,
            sentence,
            unreadable,
        )

    def _keep(self, key: tuple[str, int], sentence: Sentence, *, published: bool) -> None:
        """What is published never changes; what is long would fill the memory."""
        if published and len(sentence.en) + len(sentence.ru) <= MAX_SENTENCE:
            if len(self._sentences) >= MAX_SENTENCES:
                self._sentences.clear()
            self._sentences[key] = sentence

    async def _locked(self, tx: Any, code: str) -> None:
        row = await store.lock_program(tx, code)
        if row is None:
            raise NotFound(f"There is no program {code!r}.")
        if row.archived_at is not None:
            raise Conflict("program_archived", f"Program {code!r} is archived; make a new one.")

    async def _checked(self, code: str, version: int, body: DefinitionIn) -> Program:
        """The program that `body` describes. Raises ValidationFailed."""
        program = compile_definition(code, version, body)
        named = named_products(program)
        known = await self._catalog.products(named) if named else {}
        try:
            check_names(program, self._catalog.current(), known)
        except ValidationFailed:
            await self._catalog.refresh()  # It may have come this very second, by another process.
            known = await self._catalog.products(named) if named else {}
            check_names(program, self._catalog.current(), known)
        return program


def _definition_of(body: ProgramIn) -> DefinitionIn:
    fields = {name: getattr(body, name) for name in DefinitionIn.__struct_fields__}
    return DefinitionIn(**fields)


async def _check_multiplied(tx: AsyncConnection, program: Program) -> None:
    """Raise ValidationFailed unless the programs exist that a multiplier names."""
    if isinstance(program, ProgramVersion) and isinstance(program.reward, Multiplier):
        named = program.reward.programs
        for code in sorted(named - await store.known_programs(tx, named)):
            raise ValidationFailed.at("/reward/programs", f"there is no program {code!r}")


async def _neighbours(tx: AsyncConnection, program: Program, since: datetime) -> list[Neighbour]:
    """What `program` could contradict, published and not over when it begins to count, with the
    time in which it counts. What cannot be read contradicts nothing."""
    if not isinstance(program, ProgramVersion):
        return []
    named = program.reward.programs if isinstance(program.reward, Multiplier) else frozenset[str]()
    begin = max(since, program.valid_from)
    rows = await store.read_neighbours(tx, begin, program.stacking.group, named)
    read = [(read_program(row.code, row.version, row.definition), row) for row in rows]
    return [
        Neighbour(one, row.since, row.until) for one, row in read if not isinstance(one, Unreadable)
    ]


_UNREADABLE = Sentence(
    "This version cannot be read and counts for nothing. Publish a new one.",
    "Эту версию не удаётся прочитать, она не действует. Опубликуйте новую.",
)


def _status(row: asyncpg.Record, newest: dict[str, int], now: datetime) -> Status:
    if row["archived_at"] is not None:
        return "archived"
    if row["effective_from"] is None:
        return "draft"
    if row["effective_from"] > now:
        return "scheduled"
    return "published" if newest[row["code"]] == row["version"] else "superseded"
