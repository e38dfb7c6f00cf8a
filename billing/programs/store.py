"""The programs' queries."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from datetime import datetime
from typing import Any
from uuid import UUID

import asyncpg
from sqlalchemy import Row, insert, select, text, update
from sqlalchemy.dialects.postgresql import insert as insert_or_nothing
from sqlalchemy.ext.asyncio import AsyncConnection

from billing.common.db import Database
from billing.programs.tables import counters, program_versions, programs

Versions = list[asyncpg.Record]

_FIELDS = """
v.code, v.version, v.definition::text AS definition, v.author, v.created_at, v.effective_from,
p.archived_at
"""

_PUBLISHED = """
SELECT v.code, v.version, v.effective_from, p.archived_at
FROM billing.program_versions v JOIN billing.programs p USING (code)
WHERE v.effective_from IS NOT NULL ORDER BY v.code, v.effective_from, v.version
"""

_DEFINITIONS = """
SELECT v.code, v.version, v.definition::text AS definition
FROM billing.program_versions v
JOIN unnest($1::text[], $2::int[]) AS wanted (code, version) USING (code, version)
"""

_LATEST = f"""
SELECT DISTINCT ON (v.code) {_FIELDS}
FROM billing.program_versions v JOIN billing.programs p USING (code)
WHERE v.code > $1 ORDER BY v.code, v.version DESC LIMIT $2
"""

_OF = f"""
SELECT {_FIELDS} FROM billing.program_versions v JOIN billing.programs p USING (code)
WHERE v.code = $1 ORDER BY v.version
"""


async def read_published(database: Database) -> Versions:
    """Every published version without its definition, by program, oldest first."""
    return await database.fetch(_PUBLISHED)


async def read_definitions(database: Database, keys: Sequence[tuple[str, int]]) -> Versions:
    """The definitions of these (code, version)."""
    codes, versions = [code for code, _ in keys], [version for _, version in keys]
    return await database.fetch(_DEFINITIONS, codes, versions)


async def read_latest(database: Database, after: str, limit: int) -> Versions:
    """The newest version of each program, by code."""
    return await database.fetch(_LATEST, after, limit)


async def read_versions(database: Database, code: str) -> Versions:
    return await database.fetch(_OF, code)


async def lock_program(tx: AsyncConnection, code: str) -> Row[Any] | None:
    """The program's row, locked: changes of one program happen one after another."""
    query = select(programs).where(programs.c.code == code).with_for_update()
    return (await tx.execute(query)).one_or_none()


async def locked_versions(tx: AsyncConnection, code: str) -> list[Row[Any]]:
    query = select(program_versions).where(program_versions.c.code == code)
    return list((await tx.execute(query.order_by(program_versions.c.version))).all())


_NEIGHBOURS = text(r"""
WITH editions AS (
    SELECT v.code, v.version, v.effective_from AS since,
           least(p.archived_at, lead(v.effective_from) OVER (
               PARTITION BY v.code ORDER BY v.effective_from, v.version)) AS until
    FROM billing.program_versions v JOIN billing.programs p USING (code)
    WHERE v.effective_from IS NOT NULL
)
-- What works where and for which goods bears on no neighbour, and may be long.
SELECT e.code, e.version, v.definition - '{scope,lines,when}'::text[] AS definition,
       e.since, e.until
FROM editions e JOIN billing.program_versions v USING (code, version)
WHERE (e.until IS NULL OR e.until > :begin)
  AND (v.code = ANY (:named)
       OR coalesce(v.definition #>> '{stacking,group}', 'main') = :group)
  AND CASE WHEN v.definition ->> 'valid_to' ~ '^\d{4}-\d\d-\d\dT'
           THEN (v.definition ->> 'valid_to')::timestamptz > :begin ELSE true END
""")


async def read_neighbours(
    tx: AsyncConnection, begin: datetime, group: str, named: Iterable[str]
) -> Sequence[Row[Any]]:
    """Published versions of a stacking group, and of the programs `named`, that are not over at
    `begin`, as if for everything and everywhere; with since and until (exclusive) when each is
    the one that counts."""
    values = {"begin": begin, "group": group, "named": list(named)}
    return (await tx.execute(_NEIGHBOURS, values)).all()


async def known_programs(tx: AsyncConnection, codes: Iterable[str]) -> set[str]:
    """Those of `codes` that exist."""
    query = select(programs.c.code).where(programs.c.code.in_(list(codes)))
    return set((await tx.execute(query)).scalars())


async def begin_counter(tx: AsyncConnection, customer_id: UUID, name: str) -> None:
    """Let a counter exist, so that there is a row to lock before anything is counted."""
    new = insert_or_nothing(counters).values(customer_id=customer_id, name=name, value=0)
    await tx.execute(new.on_conflict_do_nothing())


async def insert_program(tx: AsyncConnection, code: str) -> None:
    await tx.execute(insert(programs).values(code=code))


async def insert_version(
    tx: AsyncConnection, code: str, version: int, definition: Any, author: str
) -> None:
    await tx.execute(
        insert(program_versions).values(
            code=code, version=version, definition=definition, author=author
        )
    )


async def publish_version(
    tx: AsyncConnection, code: str, version: int, at: datetime, now: datetime, publisher: str
) -> None:
    await tx.execute(
        update(program_versions)
        .where(
            program_versions.c.code == code,
            program_versions.c.version == version,
            program_versions.c.effective_from.is_(None),
        )
        .values(effective_from=at, published_at=now, publisher=publisher)
    )


async def archive_program(tx: AsyncConnection, code: str, now: datetime) -> None:
    await tx.execute(update(programs).where(programs.c.code == code).values(archived_at=now))
