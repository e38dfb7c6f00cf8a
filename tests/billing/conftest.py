"""A running application on the shared database, and callers of every role."""

from __future__ import annotations

import asyncio
import itertools
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from typing import Any, cast

import httpx
import pytest
from litestar import Litestar

from billing.app.api import create_app
from billing.common.auth import Role
from billing.common.db import Database
from billing.common.settings import Settings
from billing.keys.service import ApiKeys

_numbers = itertools.count(1)

Caller = Callable[..., Awaitable[httpx.AsyncClient]]


@pytest.fixture(scope="session")
async def app(shared_settings: Settings) -> AsyncIterator[Litestar]:
    made = create_app(shared_settings)
    async with running(made):
        yield made


@pytest.fixture(scope="session")
async def keys(shared_settings: Settings) -> AsyncIterator[ApiKeys]:
    """Keys of the shared database, made over a connection that stays."""
    database = Database(shared_settings.database_url, size=1)
    yield ApiKeys(database)
    await database.close()


@pytest.fixture
async def caller(app: Litestar, keys: ApiKeys) -> AsyncIterator[Caller]:
    """`await caller("pos", store="moscow-1")`: a client with a key of that role."""
    opened: list[httpx.AsyncClient] = []

    async def call_as(
        role: Role, channel: str | None = None, store: str | None = None
    ) -> httpx.AsyncClient:
        _, secret = await keys.create(role, f"test {role}", channel, store)
        client = client_of(app, secret)
        opened.append(client)
        return client

    yield call_as
    for client in opened:
        await client.aclose()


@pytest.fixture
async def admin(caller: Caller) -> httpx.AsyncClient:
    return await caller("admin")


@pytest.fixture
def unique() -> Callable[[str], str]:
    """`unique("shop")`: a code nobody else uses."""
    return lambda prefix: f"{prefix}-{next(_numbers)}"


@pytest.fixture
def phone() -> Callable[[], str]:
    """`phone()`: a number nobody else has, in E.164."""
    return lambda: f"+7916{next(_numbers):07d}"


@asynccontextmanager
async def running(app: Litestar) -> AsyncIterator[None]:
    """The lifespan, entered and left in one task: pytest runs the two ends of a fixture in two."""
    started, stop = asyncio.Event(), asyncio.Event()

    async def live() -> None:
        async with app.lifespan():
            started.set()
            await stop.wait()

    life = asyncio.create_task(live())
    waiting = asyncio.create_task(started.wait())
    await asyncio.wait([life, waiting], return_when=asyncio.FIRST_COMPLETED)
    if life.done():
        waiting.cancel()
        await life
    yield
    stop.set()
    await life


def client_of(app: Litestar, secret: str | None = None) -> httpx.AsyncClient:
    headers = {} if secret is None else {"authorization": f"Bearer {secret}"}
    return httpx.AsyncClient(
        transport=httpx.ASGITransport(cast(Any, app)), base_url="http://test", headers=headers
    )
