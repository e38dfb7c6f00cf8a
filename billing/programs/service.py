"""Programs: drafts, versions, publication; and the book of what runs when."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from datetime import UTC, datetime
from itertools import zip_longest
from typing import Any

import asyncpg
import msgspec
from sqlalchemy.exc import IntegrityError

from billing.catalog import store as catalog_store
from billing.catalog.service import Catalog
from billing.common.db import Database
from billing.common.errors import Conflict, NotFound, ValidationFailed
from billing.common.wire import encode, read_hook
from billing.programs import store
from billing.programs.definition import check_names, compile_definition
from billing.programs.model import ProgramVersion
from billing.programs.schemas import DefinitionIn, ProgramIn, Status, VersionOut


class Edition(msgspec.Struct, frozen=True):
    """A published version and the time in which it is the one that counts; `until` exclusive."""

    program: ProgramVersion
    since: datetime
    until: datetime | None

    def counts_at(self, moment: datetime) -> bool:
        return self.since <= moment and (self.until is None or moment < self.until)


class ProgramBook:
    """The published programs in memory, as of the catalog's revision."""

    def __init__(self, database: Database, catalog: Catalog) -> None:
        self._database = database
        self._catalog = catalog
        self._editions: tuple[Edition, ...] = ()
        self._revision = -1
        self._loading = asyncio.Lock()

    async def running(self, moment: datetime) -> list[ProgramVersion]:
        """The versions that count for a receipt of `moment`, one a program."""
        revision = self._catalog.current().revision
        if revision != self._revision:
            await self._load(revision)
        return [edition.program for edition in self._editions if edition.counts_at(moment)]

    async def _load(self, revision: int) -> None:
        async with self._loading:
            if revision == self._revision:
                return
            self._editions = _editions(await store.read_published(self._database))
            self._revision = revision


class Programs:
    """What marketers do with programs."""

    def __init__(self, database: Database, catalog: Catalog) -> None:
        self._database = database
        self._catalog = catalog

    async def create(self, body: ProgramIn, author: str) -> VersionOut:
        """A new program with its first draft. Raises ValidationFailed, also for a known code."""
        definition = _definition_of(body)
        await self._check(body.code, 1, definition)
        try:
            async with self._database.transaction() as tx:
                await store.insert_program(tx, body.code)
                await store.insert_version(tx, body.code, 1, _plain(definition), author)
        except IntegrityError:
            raise ValidationFailed.at(
                "/code",
                f"program {body.code!r} exists; "
                f"POST /v1/programs/{body.code}/versions makes a new version of it",
            ) from None
        return await self.version(body.code, 1)

    async def draft(self, code: str, body: DefinitionIn, author: str) -> VersionOut:
        """A new draft version."""
        async with self._database.transaction() as tx:
            await self._locked(tx, code)
            versions = await store.locked_versions(tx, code)
            version = versions[-1].version + 1
            await self._check(code, version, body)
            await store.insert_version(tx, code, version, _plain(body), author)
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
            await self._check(code, draft.version, _read_definition(draft.definition))
            await store.publish_version(tx, code, draft.version, at, now, publisher)
            await catalog_store.bump(tx, structure=True)
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

    async def _check(self, code: str, version: int, body: DefinitionIn) -> None:
        program = compile_definition(code, version, body)
        named = program.lines.products | program.lines.exclude_products
        known = await self._catalog.products(named) if named else {}
        try:
            check_names(program, self._catalog.current(), known)
        except ValidationFailed:
            await self._catalog.refresh()  # It may have come this very second, by another process.
            check_names(program, self._catalog.current(), known)


def _definition_of(body: ProgramIn) -> DefinitionIn:
    fields = {name: getattr(body, name) for name in DefinitionIn.__struct_fields__}
    return DefinitionIn(**fields)


def _plain(body: DefinitionIn) -> Any:
    return msgspec.json.decode(encode(body))


def _read_definition(stored: Any) -> DefinitionIn:
    return msgspec.convert(stored, DefinitionIn, dec_hook=read_hook)


def _editions(rows: Sequence[asyncpg.Record]) -> tuple[Edition, ...]:
    editions: list[Edition] = []
    for row, following in zip_longest(rows, rows[1:]):
        until = row["archived_at"]
        if following is not None and following["code"] == row["code"]:
            until = min(following["effective_from"], until or following["effective_from"])
        body = _read_definition(msgspec.json.decode(row["definition"]))
        program = compile_definition(row["code"], row["version"], body)
        editions.append(Edition(program, row["effective_from"], until))
    return tuple(editions)


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
