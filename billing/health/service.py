"""Whether this process can serve: database, migrations, Redis."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from typing import Literal

import msgspec
from redis.asyncio import Redis
from redis.asyncio.retry import Retry
from redis.backoff import NoBackoff
from redis.exceptions import RedisError

from billing.common.db import Database
from billing.common.errors import Overloaded
from billing.customers.vault import KeyState, Vault

PROBE_TIMEOUT_S = 1.0
_REVISION = "SELECT version_num FROM billing.alembic_version"
_HAS_REVISION = "SELECT to_regclass('billing.alembic_version') IS NOT NULL AS has"

Migrations = Literal["current", "newer", "pending", "unknown"]


class Readiness(msgspec.Struct):
    """Ready is who has a database that fits code and key. Redis only wakes workers up."""

    ready: bool
    database: Literal["up", "away"]
    migrations: Migrations
    """`newer`: a later version has migrated already, which this one can work with."""
    redis: Literal["up", "away", "not configured"]
    secret_key: KeyState
    """`wrong`: BONUS_SECRET_KEY is not the one this database was written with."""


class Health:
    """`revisions` are the migrations this code knows, oldest first."""

    def __init__(
        self, database: Database, redis_url: str, revisions: Sequence[str], vault: Vault
    ) -> None:
        self._database = database
        self._vault = vault
        self._revisions = revisions
        self._redis = (
            Redis.from_url(
                redis_url,
                socket_connect_timeout=PROBE_TIMEOUT_S,
                socket_timeout=PROBE_TIMEOUT_S,
                retry=Retry(NoBackoff(), retries=0),
            )
            if redis_url
            else None
        )

    async def readiness(self) -> Readiness:
        """Asks them all; takes about a second at worst."""
        redis, migrations = await asyncio.gather(self._probe_redis(), self._probe_migrations())
        key = self._vault.key
        ready = migrations in ("current", "newer") and key == "right"
        database: Literal["up", "away"] = "away" if migrations == "unknown" else "up"
        return Readiness(ready, database, migrations, redis, key)

    async def close(self) -> None:
        if self._redis is not None:
            await self._redis.aclose()

    async def _probe_migrations(self) -> Migrations:
        try:
            (found,) = await self._database.fetch(_HAS_REVISION, timeout_s=PROBE_TIMEOUT_S)
            if not found["has"]:
                return "pending"
            rows = await self._database.fetch(_REVISION, timeout_s=PROBE_TIMEOUT_S)
        except Overloaded:
            return "unknown"
        at = [row["version_num"] for row in rows]
        if at == [self._revisions[-1]]:
            return "current"
        return "pending" if not at or at[0] in self._revisions else "newer"

    async def _probe_redis(self) -> Literal["up", "away", "not configured"]:
        if self._redis is None:
            return "not configured"
        try:
            await self._redis.ping()
        except (RedisError, OSError):
            return "away"
        return "up"
