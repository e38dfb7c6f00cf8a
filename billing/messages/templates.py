"""The texts and settings in force: the newest version of each, the built-in one before it."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import datetime
from typing import Final

import msgspec
from sqlalchemy import text
from sqlalchemy.ext.asyncio import AsyncConnection

from billing.common.db import Database
from billing.common.errors import ValidationFailed
from billing.messages.defaults import DEFAULTS
from billing.messages.segments import Length, measure
from billing.messages.settings import MessageSettings
from billing.messages.wording import SHAPES, Kind, Value, WrongTemplate, check, fill
from billing.programs.words import Language
from ledger.group import Clock
from ledger.service import utc_now

MAX_VERSIONS_SHOWN: Final = 50

_NEWEST = text("""
SELECT DISTINCT ON (kind, language) kind, language, version, text, created_by, created_at
FROM billing.message_templates
WHERE CAST(:kind AS text) IS NULL OR (kind = :kind AND language = :language)
ORDER BY kind, language, version DESC
""")
_VERSIONS = text("""
SELECT kind, language, version, text, created_by, created_at FROM billing.message_templates
WHERE kind = :kind AND language = :language ORDER BY version DESC LIMIT :limit
""")
_LOCK = text("SELECT pg_advisory_xact_lock(hashtext('billing.message_texts'))")
_WRITE = text("""
INSERT INTO billing.message_templates (kind, language, version, text, created_by, created_at)
VALUES (:kind, :language, :version, :text, :by, :now)
""")
_SETTINGS = text("""
SELECT version, settings::text FROM billing.message_settings ORDER BY version DESC LIMIT 1
""")
_WRITE_SETTINGS = text("""
INSERT INTO billing.message_settings (version, settings, created_by, created_at)
VALUES (:version, CAST(:settings AS jsonb), :by, :now)
""")


class Template(msgspec.Struct, frozen=True, kw_only=True):
    """A text in force. Version 0 is the built-in one; `created_by` names the key that wrote it."""

    kind: Kind
    language: Language
    version: int
    text: str
    created_by: str | None = None
    created_at: datetime | None = None


class Rendered(msgspec.Struct, frozen=True, kw_only=True):
    """A text to be sent, word for word, and the version it is of (0: the built-in one)."""

    kind: Kind
    language: Language
    version: str
    text: str
    length: Length

    @property
    def segments(self) -> int:
        return self.length.segments


class Templates:
    """Reading and changing the words of messages."""

    def __init__(self, database: Database, *, clock: Clock = utc_now) -> None:
        self._database = database
        self._clock = clock

    async def all(self) -> list[Template]:
        """Every text in force."""
        async with self._database.transaction() as tx:
            rows = await tx.execute(_NEWEST, {"kind": None, "language": None})
            written = {(row.kind, row.language): Template(**row._mapping) for row in rows}
        return [written.get(key) or _built_in(*key) for key in DEFAULTS]

    async def versions(self, kind: Kind, language: Language) -> list[Template]:
        """The newest versions, newest first; the built-in one is the last."""
        values = {"kind": kind, "language": language, "limit": MAX_VERSIONS_SHOWN}
        async with self._database.transaction() as tx:
            rows = (await tx.execute(_VERSIONS, values)).all()
        found = [Template(**row._mapping) for row in rows]
        return found if len(found) == MAX_VERSIONS_SHOWN else [*found, _built_in(kind, language)]

    async def write(self, kind: Kind, language: Language, words: str, by: str) -> Template:
        """A new version, unless it is the text in force. Raises ValidationFailed."""
        must_be_right(kind, words)
        async with self._database.transaction() as tx:
            await tx.execute(_LOCK)
            now = await newest(tx, kind, language)
            if now.text == words:
                return now
            made = Template(
                kind=kind,
                language=language,
                version=now.version + 1,
                text=words,
                created_by=by,
                created_at=self._clock(),
            )
            values = msgspec.structs.asdict(made) | {"by": by, "now": made.created_at}
            named = {name: values[name] for name in _WRITE.compile().params}
            await tx.execute(_WRITE, named)
        return made

    async def settings(self) -> tuple[int, MessageSettings]:
        """The settings in force, and their version."""
        async with self._database.transaction() as tx:
            return await read_settings(tx)

    async def write_settings(self, settings: MessageSettings, by: str) -> int:
        """The version they are of; a new one unless they are in force already."""
        async with self._database.transaction() as tx:
            await tx.execute(_LOCK)
            version, old = await read_settings(tx)
            if old == settings:
                return version
            values = {
                "version": version + 1,
                "settings": msgspec.json.encode(settings).decode(),
                "by": by,
                "now": self._clock(),
            }
            await tx.execute(_WRITE_SETTINGS, values)
        return version + 1


async def render(
    tx: AsyncConnection, kind: Kind, language: Language, variables: Mapping[str, Value]
) -> Rendered:
    """The text of a kind as of now. Of the variables those count that the kind knows; `brand` is
    filled in from the settings when not given.

    Raises ValueError for a value that its variable cannot have: a code that is not of digits.
    """
    known = {name: value for name, value in variables.items() if name in SHAPES[kind].known}
    if "brand" not in known:
        known["brand"] = (await read_settings(tx))[1].brand
    found = await newest(tx, kind, language)
    words = fill(found.text, language, known)
    return Rendered(
        kind=kind,
        language=language,
        version=str(found.version),
        text=words,
        length=measure(words),
    )


async def newest(tx: AsyncConnection, kind: Kind, language: Language) -> Template:
    row = (await tx.execute(_NEWEST, {"kind": kind, "language": language})).one_or_none()
    return _built_in(kind, language) if row is None else Template(**row._mapping)


async def read_settings(tx: AsyncConnection) -> tuple[int, MessageSettings]:
    """Version 0: what a new service has."""
    row = (await tx.execute(_SETTINGS)).one_or_none()
    if row is None:
        return 0, MessageSettings()
    return row.version, msgspec.json.decode(row.settings, type=MessageSettings)


def must_be_right(kind: Kind, words: str) -> None:
    """Raise ValidationFailed unless it can be a template."""
    try:
        check(kind, words)
    except WrongTemplate as error:
        raise ValidationFailed.at("/text", str(error)) from None


def _built_in(kind: Kind, language: Language) -> Template:
    return Template(kind=kind, language=language, version=0, text=DEFAULTS[kind, language])
