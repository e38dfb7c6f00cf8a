"""`bonus migrate`: any number at once, and code and migrations agree (STYLE 15)."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator

import asyncpg
import pytest
from alembic.script import ScriptDirectory
from alembic.util import CommandError
from sqlalchemy.exc import DBAPIError

from billing.common.embedded.bootstrap import OWNER
from migrations.revisions import revisions
from migrations.runner import check, upgrade
from tests.conftest import REPOSITORY, TestDatabase, url_as

POSTS = "LOCK TABLE ledger.postings IN ROW EXCLUSIVE MODE"
BUILDING = """
SELECT count(*) FROM pg_stat_activity WHERE datname = current_database()
AND query LIKE '%INDEX CONCURRENTLY%postings_debt_idx%' AND wait_event_type = 'Lock'
AND pid <> pg_backend_pid()
"""


@pytest.fixture
async def empty_url(postgres_url: str, template: str) -> AsyncIterator[str]:
    """The owner's URL of a database without anything."""
    superuser = await asyncpg.connect(postgres_url)
    await superuser.execute(f"CREATE DATABASE bonus_empty OWNER {OWNER}")
    yield url_as(postgres_url, "bonus_empty", OWNER)
    await superuser.execute("DROP DATABASE bonus_empty WITH (FORCE)")
    await superuser.close()


async def test_the_tables_in_code_are_what_the_migrations_make(database: TestDatabase) -> None:
    await check(database.owner_url)


def test_files_are_numbered_as_the_migrations_follow_each_other() -> None:
    script = ScriptDirectory(str(REPOSITORY / "migrations"))
    assert revisions() == [one.revision for one in script.walk_revisions()][::-1]


async def test_check_fails_on_a_database_that_is_not_migrated(empty_url: str) -> None:
    with pytest.raises(CommandError, match="not up to date"):
        await check(empty_url)


async def test_several_at_once_migrate_once(empty_url: str) -> None:
    new = await asyncio.gather(*(upgrade(empty_url) for _ in range(4)))
    assert sorted(new) == [False, False, False, True]
    await check(empty_url)


async def test_a_table_in_use_makes_it_give_up_soon_and_it_can_be_started_again(
    database: TestDatabase, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("migrations.runner.LOCK_TIMEOUT", "100ms")
    till = await asyncpg.connect(database.owner_url)
    async with till.transaction():
        await till.execute("LOCK TABLE billing.alembic_version IN ACCESS EXCLUSIVE MODE")
        with pytest.raises(DBAPIError, match="lock timeout"):
            await upgrade(database.owner_url)
    await till.close()
    assert await upgrade(database.owner_url) is False


async def test_an_index_of_postings_is_built_while_tills_post(database: TestDatabase) -> None:
    """Also after one that was broken off, which has left an index that is of no use."""
    one, other = [await asyncpg.connect(database.owner_url) for _ in range(2)]
    await other.execute("SET lock_timeout = '1s'")
    await other.execute("UPDATE billing.alembic_version SET version_num = '0018'")
    async with one.transaction():
        await one.execute(POSTS)
        migrating = asyncio.create_task(upgrade(database.owner_url))
        async with asyncio.timeout(10):
            while not await other.fetchval(BUILDING):  # noqa: ASYNC110
                await asyncio.sleep(0.01)
        async with other.transaction():
            await other.execute(POSTS)
    assert await migrating is False
    assert await other.fetchval(
        "SELECT indisvalid FROM pg_index WHERE indexrelid = 'ledger.postings_debt_idx'::regclass"
    )
    await asyncio.gather(one.close(), other.close())
