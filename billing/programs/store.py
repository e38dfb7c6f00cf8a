"""The programs' queries."""

from __future__ import annotations

from datetime import datetime
from typing import Any

import asyncpg
from sqlalchemy import Row, insert, select, update
from sqlalchemy.ext.asyncio import AsyncConnection

from billing.common.db import Database
from billing.programs.tables import program_versions, programs

Versions = list[asyncpg.Record]

_FIELDS = """
v.code, v.version, v.definition::text AS definition, v.author, v.created_at, v.effective_from,
p.archived_at
"""

_PUBLISHED = f"""
SELECT {_FIELDS} FROM billing.program_versions v JOIN billing.programs p USING (code)
WHERE v.effective_from IS NOT NULL ORDER BY v.code, v.effective_from, v.version
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
    """Every published version, by program, oldest first."""
    return await database.fetch(_PUBLISHED)


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
