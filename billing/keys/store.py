"""The keys' queries."""

from __future__ import annotations

from datetime import datetime
from uuid import UUID

import msgspec
from sqlalchemy import func, select, update
from sqlalchemy.ext.asyncio import AsyncConnection

from billing.catalog.tables import channels, stores
from billing.common.auth import Principal, person_of
from billing.common.db import Database
from billing.keys.model import ApiKey
from billing.keys.tables import api_keys

_SHOWN = [api_keys.c[name] for name in ApiKey.__struct_fields__]

_PRINCIPALS = """
SELECT hash, id, name, role, channel, store, owner
  FROM billing.api_keys
 WHERE hash = ANY($1::bytea[]) AND revoked_at IS NULL
"""

_PERSONS = "SELECT id, name, owner FROM billing.api_keys WHERE id = ANY($1::uuid[])"


async def read_principals(database: Database, hashes: list[bytes]) -> dict[bytes, Principal]:
    rows = await database.fetch(_PRINCIPALS, hashes)
    return {
        row["hash"]: Principal(
            key_id=row["id"],
            name=row["name"],
            role=row["role"],
            channel=row["channel"],
            store=row["store"],
            owner=row["owner"],
        )
        for row in rows
    }


async def read_persons(database: Database, key_ids: list[UUID]) -> dict[UUID, str]:
    """The persons behind keys, revoked ones too; of others there is nothing."""
    rows = await database.fetch(_PERSONS, key_ids)
    return {row["id"]: person_of(row["owner"], row["name"]) for row in rows}


async def insert(tx: AsyncConnection, key: ApiKey, key_hash: bytes) -> None:
    await tx.execute(api_keys.insert().values(hash=key_hash, **msgspec.structs.asdict(key)))


async def read_all(tx: AsyncConnection) -> tuple[ApiKey, ...]:
    rows = await tx.execute(select(*_SHOWN).order_by(api_keys.c.created_at, api_keys.c.id))
    return tuple(ApiKey(*row) for row in rows)


async def revoke(tx: AsyncConnection, key_id: UUID, now: datetime) -> ApiKey | None:
    """Revoked keys keep the time they were first revoked."""
    changed = await tx.execute(
        update(api_keys)
        .where(api_keys.c.id == key_id)
        .values(revoked_at=func.coalesce(api_keys.c.revoked_at, now))
        .returning(*_SHOWN)
    )
    row = changed.one_or_none()
    return None if row is None else ApiKey(*row)


async def channel_of_store(tx: AsyncConnection, code: str) -> str | None:
    found: str | None = await tx.scalar(select(stores.c.channel).where(stores.c.code == code))
    return found


async def has_channel(tx: AsyncConnection, code: str) -> bool:
    return await tx.scalar(select(channels.c.code).where(channels.c.code == code)) is not None
