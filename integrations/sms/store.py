"""Queries of providers, as the API and the workers see them."""

from __future__ import annotations

from datetime import datetime
from typing import Any, Final, Literal

import msgspec
from sqlalchemy import text
from sqlalchemy.ext.asyncio import AsyncConnection

from billing.common.db import Database
from integrations.sms.registry import KindName

ADVISORY_LOCK: Final = 0x626F6E7573_12
"""New providers come one after another: their number is bounded."""
SHOWN_ERRORS: Final = 20

State = Literal["active", "paused"]

_COLUMNS: Final = """code, kind, state, priority, rate_per_minute, settings::text AS settings,
    secrets, token, version, next_slot_at, not_before, failures, last_error, last_error_at,
    created_at, updated_at"""

ONE: Final = f"SELECT {_COLUMNS} FROM billing.sms_providers WHERE code = $1"  # noqa: S608
_ALL: Final = f"SELECT {_COLUMNS} FROM billing.sms_providers ORDER BY priority, code"  # noqa: S608

_LOCK_ALL = text(f"""
SELECT {_COLUMNS} FROM billing.sms_providers ORDER BY code FOR NO KEY UPDATE
""")  # noqa: S608
_LOCK_ONE = text(f"""
SELECT {_COLUMNS} FROM billing.sms_providers WHERE code = :code FOR NO KEY UPDATE
""")  # noqa: S608

_WRITE = text("""
INSERT INTO billing.sms_providers AS p
    (code, kind, state, priority, rate_per_minute, settings, secrets, token, version, created_at,
     updated_at)
VALUES (:code, :kind, :state, :priority, :rate, CAST(:settings AS jsonb), :secrets, :token, 1,
        :now, :now)
ON CONFLICT (code) DO UPDATE SET kind = excluded.kind, state = excluded.state,
    priority = excluded.priority, rate_per_minute = excluded.rate_per_minute,
    settings = excluded.settings, secrets = excluded.secrets, version = p.version + 1,
    not_before = NULL, failures = 0, updated_at = excluded.updated_at
""")
_TOKEN = text("""
UPDATE billing.sms_providers SET token = :token, updated_at = :now WHERE code = :code
""")
_DELETE = text("DELETE FROM billing.sms_providers WHERE code = :code RETURNING code")
_COUNT = text("SELECT count(*) FROM billing.sms_providers")

_SLOT = text("""
UPDATE billing.sms_providers SET next_slot_at = greatest(next_slot_at, :now)
    + make_interval(secs => 60.0 * :taken / rate_per_minute)
WHERE code = :code
""")
_WELL = text("""
UPDATE billing.sms_providers SET failures = 0, not_before = NULL
WHERE code = :code AND failures > 0
""")
_ILL = text("""
UPDATE billing.sms_providers
SET failures = failures + :weight, last_error = :error, last_error_at = :now,
    not_before = greatest(not_before, CAST(:until AS timestamptz))
WHERE code = :code
""")

ERRORS: Final = """
SELECT message_id, at, outcome, code, detail FROM billing.message_attempts
WHERE provider = $1 AND outcome IN ('rejected', 'refused', 'unknown', 'lost')
ORDER BY at DESC LIMIT $2
"""


class ProviderRow(msgspec.Struct, frozen=True, kw_only=True):
    """A provider as stored; `settings` is JSON, `secrets` and `token` are sealed."""

    code: str
    kind: KindName
    state: State
    priority: int
    rate_per_minute: int
    settings: str
    secrets: bytes
    token: bytes
    version: int
    next_slot_at: datetime
    not_before: datetime | None
    failures: int
    last_error: str | None
    last_error_at: datetime | None
    created_at: datetime
    updated_at: datetime


async def read_all(database: Database) -> list[ProviderRow]:
    return [ProviderRow(**dict(row)) for row in await database.fetch(_ALL)]


async def read(database: Database, code: str) -> ProviderRow | None:
    rows = await database.fetch(ONE, code)
    return ProviderRow(**dict(rows[0])) if rows else None


async def lock_all(tx: AsyncConnection) -> list[ProviderRow]:
    """By priority; slots are taken by one worker at a time. Locked by code: their order never
    changes."""
    found = [ProviderRow(**row._mapping) for row in await tx.execute(_LOCK_ALL)]
    return sorted(found, key=lambda row: (row.priority, row.code))


async def lock(tx: AsyncConnection, code: str) -> ProviderRow | None:
    row = (await tx.execute(_LOCK_ONE, {"code": code})).one_or_none()
    return None if row is None else ProviderRow(**row._mapping)


async def count(tx: AsyncConnection) -> int:
    """How many there are; nobody makes another one before this transaction ends."""
    await tx.execute(text("SELECT pg_advisory_xact_lock(:lock)"), {"lock": ADVISORY_LOCK})
    return int(await tx.scalar(_COUNT) or 0)


async def write(tx: AsyncConnection, values: dict[str, Any]) -> None:
    await tx.execute(_WRITE, values)


async def write_token(tx: AsyncConnection, code: str, token: bytes, now: datetime) -> None:
    await tx.execute(_TOKEN, {"code": code, "token": token, "now": now})


async def delete(tx: AsyncConnection, code: str) -> bool:
    return await tx.scalar(_DELETE, {"code": code}) is not None


async def take_slots(tx: AsyncConnection, code: str, taken: int, now: datetime) -> None:
    await tx.execute(_SLOT, {"code": code, "taken": taken, "now": now})


async def went_well(tx: AsyncConnection, code: str) -> None:
    await tx.execute(_WELL, {"code": code})


async def went_ill(
    tx: AsyncConnection,
    code: str,
    error: str,
    now: datetime,
    *,
    until: datetime | None,
    weight: int,
) -> None:
    """Note an error; `until` it is not asked."""
    values = {"code": code, "error": error, "now": now, "until": until, "weight": weight}
    await tx.execute(_ILL, values)
