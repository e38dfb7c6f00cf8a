"""Ready is who has a database that fits the code."""

from __future__ import annotations

import time

import asyncpg
import pytest

from billing.common.db import Database
from billing.customers.vault import Vault
from billing.health.service import Health
from tests.conftest import TestDatabase

VAULT = Vault(bytes(32))


@pytest.mark.parametrize(
    ("revisions", "migrations", "ready"),
    [(["0001", "9999"], "current", True), (["9999", "later"], "pending", False),
     (["0001", "0002"], "newer", True)],
)  # fmt: skip
async def test_a_database_of_another_version(
    database: TestDatabase, revisions: list[str], migrations: str, ready: bool
) -> None:
    owner = await asyncpg.connect(database.owner_url)
    await owner.execute("UPDATE billing.alembic_version SET version_num = '9999'")
    await owner.close()
    pool = Database(database.url, size=1)
    found = await Health(pool, "", revisions, VAULT).readiness()
    assert (found.migrations, found.ready, found.redis) == (migrations, ready, "not configured")
    await pool.close()


async def test_a_database_without_tables_is_not_ready(database: TestDatabase) -> None:
    owner = await asyncpg.connect(database.owner_url)
    await owner.execute("DROP TABLE billing.alembic_version")
    await owner.close()
    pool = Database(database.url, size=1)
    assert (await Health(pool, "", ["0001"], VAULT).readiness()).migrations == "pending"
    await pool.close()


async def test_a_redis_that_is_away_keeps_nobody_waiting(database: TestDatabase) -> None:
    pool = Database(database.url, size=1)
    # 192.0.2.0/24 is for documentation (RFC 5737): nothing answers there.
    health = Health(pool, "redis://192.0.2.1:6379/0", ["0001"], VAULT)
    started = time.monotonic()
    assert (await health.readiness()).redis == "away"
    assert time.monotonic() - started < 2
    await health.close()
    await pool.close()
