"""The running service, seen from outside: `bonus serve`, a shop in it, and what its tables hold."""

from __future__ import annotations

import itertools
from collections.abc import AsyncIterator, Awaitable, Callable
from dataclasses import dataclass, field
from typing import Any

import asyncpg
import httpx
import pytest

from billing.common.auth import Role
from billing.common.db import Database
from billing.common.settings import Settings
from billing.keys.service import ApiKeys
from tests.acceptance.serving import Serving, environ_of
from tests.conftest import TestDatabase

_numbers = itertools.count(1)
OCCURRED = "2026-11-21T14:03:00+03:00"

Connect = Callable[..., Awaitable[httpx.AsyncClient]]


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


@pytest.fixture
async def connect(serving: Serving, shared_settings: Settings) -> AsyncIterator[Connect]:
    """`await connect("pos", store="x")`: a client with a key of that role."""
    database = Database(shared_settings.database_url, size=1)
    opened: list[httpx.AsyncClient] = []

    async def make(
        role: Role, channel: str | None = None, store: str | None = None
    ) -> httpx.AsyncClient:
        key, secret = await ApiKeys(database).create(role, f"acceptance {role}", channel, store)
        client = httpx.AsyncClient(
            base_url=serving.url,
            headers={"authorization": f"Bearer {secret}", "x-key-id": str(key.id)},
            timeout=30,
        )
        opened.append(client)
        return client

    yield make
    for client in opened:
        await client.aclose()
    await database.close()


@pytest.fixture
async def admin(connect: Connect) -> httpx.AsyncClient:
    return await connect("admin")


@dataclass
class Shop:
    """A channel with a store, a product and a verified customer of its own."""

    client: httpx.AsyncClient
    number: int = field(default_factory=lambda: next(_numbers))

    @property
    def channel(self) -> str:
        return f"channel-{self.number}"

    @property
    def store(self) -> str:
        return f"store-{self.number}"

    @property
    def group(self) -> str:
        return f"group-{self.number}"

    @property
    def sku(self) -> str:
        return f"sku-{self.number}"

    @property
    def phone(self) -> str:
        return f"+7926{self.number:07d}"

    async def open(self) -> Shop:
        for path, body in (
            (f"/v1/channels/{self.channel}", {"name": "a channel"}),
            (f"/v1/stores/{self.store}", {"name": "a store", "channel": self.channel}),
            (f"/v1/product-groups/{self.group}", {"name": "a group"}),
            (f"/v1/products/{self.sku}", {"name": "a product", "group": self.group}),
        ):
            done(await self.client.put(path, json=body))
        new = {"phone": self.phone, "status": "verified"}
        done(await self.client.post("/v1/customers", json=new))
        return self

    def line(self, amount: str = "100.00", **other: Any) -> dict[str, Any]:
        line = {"line": 1, "sku": self.sku, "quantity": "1", "price": amount, "amount": amount}
        return line | other

    def sale(self, *lines: dict[str, Any], **other: Any) -> dict[str, Any]:
        """A sale nobody has posted yet."""
        receipt = {
            "number": f"n-{next(_numbers)}",
            "occurred_at": OCCURRED,
            "lines": list(lines) or [self.line()],
        }
        place = {"channel": self.channel, "store": self.store}
        return {"customer": {"phone": self.phone}, **place, "receipt": receipt} | other

    async def post(
        self, path: str, body: Any, *, client: httpx.AsyncClient | None = None, key: str = ""
    ) -> httpx.Response:
        headers = {"idempotency-key": key or fresh_key()}
        return await (client or self.client).post(path, json=body, headers=headers)

    async def give(self, points: str) -> None:
        """Points by hand, available at once."""
        body = {"customer": {"phone": self.phone}, "points": points, "reason": "a gift"}
        done(await self.post("/v1/adjustments", body))


@pytest.fixture
async def shop(admin: httpx.AsyncClient) -> Shop:
    return await Shop(admin).open()


@pytest.fixture
async def contents(shared_database: TestDatabase) -> AsyncIterator[Callable[[], Awaitable[Any]]]:
    """`await contents()`: how many rows every table holds, and a sum over all of them."""
    connection = await asyncpg.connect(shared_database.superuser_url)
    tables = await connection.fetch(
        "SELECT format('%I.%I', schemaname, tablename) AS name FROM pg_tables"
        " WHERE schemaname IN ('ledger', 'billing') ORDER BY 1"
    )
    query = " UNION ALL ".join(
        f"SELECT '{table['name']}', count(*), sum(hashtextextended(t::text, 0)::numeric)"
        f" FROM {table['name']} t"
        for table in tables
    )

    async def read() -> Any:
        return await connection.fetch(query)

    yield read
    await connection.close()


def done(answer: httpx.Response) -> Any:
    assert answer.is_success, answer.text
    return answer.json()


def fresh_key() -> str:
    return f"acceptance-{next(_numbers)}"


def problem(answer: httpx.Response, status: int, code: str) -> dict[str, Any]:
    """The problem document of a refusal that is as it should be."""
    assert answer.headers["content-type"] == "application/problem+json", answer.text
    document: dict[str, Any] = answer.json()
    assert (answer.status_code, document["code"]) == (status, code), answer.text
    assert document["status"] == status
    assert document["detail"]
    return document
