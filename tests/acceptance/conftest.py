"""The running service, seen from outside: `bonus serve`, a shop in it, and what its tables hold."""

from __future__ import annotations

from collections.abc import AsyncIterator, Awaitable, Callable
from typing import Any

import asyncpg
import httpx
import pytest

from billing.common.auth import Role
from billing.common.db import Database
from billing.common.settings import Settings
from billing.keys.service import ApiKeys
from tests.acceptance.serving import TRUSTING_NOBODY, Serving, environ_of
from tests.acceptance.shop import Shop
from tests.acceptance.till import Till
from tests.conftest import TestDatabase, cloned, settings_of

Connect = Callable[..., Awaitable[httpx.AsyncClient]]


@pytest.fixture(scope="session")
async def shared_database(postgres_url: str, template: str) -> AsyncIterator[TestDatabase]:
    """One of these tests alone: they close months, and leave all kinds of rubbish."""
    async with cloned(postgres_url, template) as made:
        yield made


@pytest.fixture(scope="session")
def shared_settings(
    shared_database: TestDatabase, redis_url: str, tmp_path_factory: pytest.TempPathFactory
) -> Settings:
    return settings_of(shared_database, redis_url, tmp_path_factory.mktemp("data"))


@pytest.fixture(scope="session")
async def serving(
    shared_settings: Settings, tmp_path_factory: pytest.TempPathFactory
) -> AsyncIterator[Serving]:
    """`bonus serve` on the session's database."""
    folder = tmp_path_factory.mktemp("serving")
    made = Serving(environ_of(shared_settings, folder), folder)
    made.start()
    try:
        await made.ready()
        yield made
    finally:
        made.stop()


@pytest.fixture(scope="session")
async def keys(shared_settings: Settings) -> AsyncIterator[ApiKeys]:
    """Keys of the session's database, made over a connection that stays."""
    database = Database(shared_settings.database_url, size=1)
    yield ApiKeys(database)
    await database.close()


@pytest.fixture
async def connect(serving: Serving, keys: ApiKeys) -> AsyncIterator[Connect]:
    """`await connect("pos", store="x")`: a client with a key of that role."""
    opened: list[httpx.AsyncClient] = []

    async def make(
        role: Role, channel: str | None = None, store: str | None = None
    ) -> httpx.AsyncClient:
        key, secret = await keys.create(role, f"acceptance {role}", channel, store)
        client = httpx.AsyncClient(
            base_url=serving.url,
            headers={"authorization": f"Bearer {secret}", "x-key-id": str(key.id)},
            timeout=30,
            verify=TRUSTING_NOBODY,
        )
        opened.append(client)
        return client

    yield make
    for client in opened:
        await client.aclose()


@pytest.fixture
async def admin(connect: Connect) -> httpx.AsyncClient:
    return await connect("admin")


@pytest.fixture
async def shop(admin: httpx.AsyncClient) -> Shop:
    return await Shop(admin).open()


@pytest.fixture(scope="session")
async def contents(shared_database: TestDatabase) -> AsyncIterator[Callable[[], Awaitable[Any]]]:
    """`await contents()`: how many rows every table holds, and a sum over all of them; but for the
    operators' log, which also has what was refused."""
    alone = {"max_parallel_workers_per_gather": "0", "jit": "off"}
    connection = await asyncpg.connect(shared_database.superuser_url, server_settings=alone)
    tables = await connection.fetch(
        "SELECT format('%I.%I', schemaname, tablename) AS name FROM pg_tables"
        " WHERE schemaname IN ('ledger', 'billing') AND tablename NOT LIKE 'operator%' ORDER BY 1"
    )
    query = " UNION ALL ".join(
        f"SELECT '{table['name']}', count(*), sum(hashtextextended(t::text, 0)::numeric)"
        f" FROM {table['name']} t"
        for table in tables
    )
    # Planned once: to learn of every table takes a new connection longer than to read them.
    prepared = await connection.prepare(f"{query} ORDER BY 1")

    async def read() -> Any:
        return await prepared.fetch()

    yield read
    await connection.close()


@pytest.fixture
async def till(shop: Shop) -> Till:
    return Till(shop)
