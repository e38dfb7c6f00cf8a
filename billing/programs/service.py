"""Programs: drafts, versions, publication. What is published stands in `billing.programs.book`."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import UTC, datetime
from functools import lru_cache
from typing import Any

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
    read_definition,
    stored_definition,
)
from billing.programs.limits import HOUSE, budget_name
from billing.programs.model import Multiplier, ProgramVersion
from billing.programs.names import check_names, named_products
from billing.programs.neighbours import Neighbour, check_neighbours
from billing.programs.portrait import portrait
from billing.programs.schemas import DefinitionIn, ProgramIn, Sentence, Status, VersionOut


class Programs:
    """What marketers do with programs."""

    def __init__(self, database: Database, catalog: Catalog) -> None:
        self._database = database
        self._catalog = catalog

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
            program = await self._checked(code, draft.version, read_definition(draft.definition))
            if program.valid_to is not None and program.valid_to <= at:
                raise ValidationFailed.at(
                    "/from", "is not before the program's valid_to: it would never count"
                )
            # The revision's lock: whoever publishes a neighbour waits, and then sees this one.
            await catalog_store.bump(tx, structure=True)
            check_neighbours(Neighbour(program, at, None), await _published(tx))
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
        return (await self.versions(code))[-1]

    async def version(self, code: str, version: int) -> VersionOut:
        """One version. Raises NotFound."""
        for found in await self.versions(code):
            if found.version == version:
                return found
        raise NotFound(f"Program {code!r} has no version {version}.")

    async def versions(self, code: str) -> list[VersionOut]:
        rows = await store.read_versions(self._database, code)
        if not rows:
            raise NotFound(f"There is no program {code!r}.")
        return _out(rows)

    async def page(self, after: str, limit: int) -> list[VersionOut]:
        """The newest version of each program, by code."""
        return _out(await store.read_latest(self._database, after, limit))

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


async def _published(tx: AsyncConnection) -> list[Neighbour]:
    """What is published and not over, with the time in which it counts."""
    return [
        Neighbour(
            compile_definition(row.code, row.version, read_definition(row.definition)),
            row.since,
            row.until,
        )
        for row in await store.read_editions(tx)
    ]


@lru_cache(maxsize=4096)
def _sentence(code: str, version: int, definition: str) -> Sentence:
    body = read_definition(msgspec.json.decode(definition))
    program = compile_definition(code, version, body)
    return Sentence(portrait(program, "en"), portrait(program, "ru"))


def _out(rows: Sequence[asyncpg.Record]) -> list[VersionOut]:
    now = datetime.now(UTC)
    newest = {
        row["code"]: row["version"]
        for row in rows
        if row["effective_from"] is not None and row["effective_from"] <= now
    }
    return [
        VersionOut(
            row["code"],
            row["version"],
            _status(row, newest, now),
            row["effective_from"],
            row["created_at"],
            row["author"],
            msgspec.json.decode(row["definition"]),
            _sentence(row["code"], row["version"], row["definition"]),
        )
        for row in rows
    ]


def _status(row: asyncpg.Record, newest: dict[str, int], now: datetime) -> Status:
    if row["archived_at"] is not None:
        return "archived"
    if row["effective_from"] is None:
        return "draft"
    if row["effective_from"] > now:
        return "scheduled"
    return "published" if newest[row["code"]] == row["version"] else "superseded"
