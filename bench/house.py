"""A real PostgreSQL, durable, in a temporary folder, with databases and API processes on it."""

from __future__ import annotations

import asyncio
import base64
import os
import shutil
import subprocess
import sys
import tempfile
import time
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager, contextmanager
from dataclasses import dataclass
from pathlib import Path
from uuid import UUID, uuid4

import asyncpg
import psutil  # type: ignore[import-untyped]

from bench.load import Client
from billing.app.services import Services, build_services
from billing.common.embedded import EmbeddedPostgres
from billing.common.settings import Settings, load_settings
from migrations.runner import upgrade

_SECRET = base64.b64encode(bytes(range(32))).decode()

_CHAIN = """
INSERT INTO billing.channels (code, name) VALUES ('shop', 'Shops');
INSERT INTO billing.stores (code, name, channel, "group") VALUES ('m1', 'M1', 'shop', 'moscow');
INSERT INTO billing.product_groups (code, name) VALUES
    ('dairy', 'Dairy'), ('meat', 'Meat'), ('bread', 'Bread');
INSERT INTO billing.programs (code) VALUES ('base-5');
INSERT INTO billing.program_versions
    (code, version, definition, author, effective_from, published_at, publisher)
VALUES ('base-5', 1, '{"name": "5%", "valid_from": "2020-01-01T00:00:00Z",
    "reward": {"kind": "percent", "value": "5"}, "scope": {"channels": ["shop"]},
    "lines": {"exclude_groups": []}, "expires": {"after": "P12M", "round_up_to": "month"}}',
    'bench', '2020-01-01', now(), 'bench');
UPDATE billing.catalog_revision SET revision = revision + 1, structure = structure + 1;
"""

_CUSTOMERS = """
INSERT INTO billing.customers (id, status, phone_hash, phone_masked, created_at, updated_at)
SELECT id, 'verified', sha256(id::text::bytea), '+7******0000', now(), now()
FROM unnest($1::uuid[]) AS id
"""


@dataclass
class Database:
    """One migrated database with a small chain in it; `customers` have points to spend."""

    url: str
    owner_url: str
    superuser_url: str
    customers: list[UUID]

    def settings(self, **more: str) -> Settings:
        return load_settings(self.environment(**more))

    def environment(self, **more: str) -> dict[str, str]:
        return {
            "DATABASE_URL": self.url,
            "BONUS_OWNER_DATABASE_URL": self.owner_url,
            "REDIS_URL": "redis://127.0.0.1:1/0",
            "BONUS_SECRET_KEY": _SECRET,
            # One key gives everybody their points.
            "BONUS_PERSON_APPROVAL_POINTS": "1000000000.00",
            **more,
        }

    @asynccontextmanager
    async def services(self) -> AsyncIterator[Services]:
        """The service's parts in this process."""
        services = build_services(self.settings())
        async with services.running():
            yield services


@contextmanager
def server() -> Iterator[EmbeddedPostgres]:
    """A durable PostgreSQL 18 that is gone afterwards."""
    folder = Path(tempfile.mkdtemp(prefix="bonus-bench-"))
    folder.chmod(0o755)
    postgres = EmbeddedPostgres(folder)
    postgres.start()
    try:
        yield postgres
    finally:
        postgres.stop("fast")
        shutil.rmtree(folder)


async def make_database(postgres: EmbeddedPostgres, name: str, customers: int) -> Database:
    """A database with a chain and `customers` customers of 10,000.00 points each."""
    superuser = await asyncpg.connect(postgres.url_of("postgres", "postgres"))
    await superuser.execute(f"CREATE DATABASE {name} OWNER bonus")
    await superuser.close()
    urls = [postgres.url_of(user, name) for user in ("bonus_api", "bonus", "postgres")]
    await upgrade(urls[1])
    database = Database(*urls, [uuid4() for _ in range(customers)])
    superuser = await asyncpg.connect(database.superuser_url)
    await superuser.execute(_CHAIN)
    await superuser.execute(_CUSTOMERS, database.customers)
    await superuser.close()
    return database


@asynccontextmanager
async def api(database: Database, **more: str) -> AsyncIterator[tuple[Client, psutil.Process]]:
    """A real `bonus serve` on the database, and a client of it with a key; `more` settings."""
    port = _free_port()
    environment = os.environ | database.environment(
        BONUS_PORT=str(port), BONUS_DATA_DIR=tempfile.gettempdir(), **more
    )
    bonus = [sys.executable, "-m", "billing.app.cli"]
    key = subprocess.run(
        [*bonus, "keys", "create", "--role", "admin", "--name", f"bench {uuid4()}"],
        env=environment, check=True, capture_output=True, text=True,
    ).stdout.strip()  # fmt: skip
    process = subprocess.Popen([*bonus, "serve"], env=environment, stderr=subprocess.DEVNULL)
    client = Client(port, key)
    try:
        await _ready(client)
        yield client, psutil.Process(process.pid)
    finally:
        process.terminate()
        process.wait(30)


async def _ready(client: Client) -> None:
    deadline = time.monotonic() + 60
    while time.monotonic() < deadline:
        try:
            async with client.connection() as connection:
                if (await connection.ask(client.get("/health/ready")))[0] == 200:
                    return
        except OSError:
            pass
        await asyncio.sleep(0.1)
    raise RuntimeError("the API did not become ready in a minute")


def memory_mib(process: psutil.Process) -> float:
    """What a process and its children hold, in MiB."""
    everybody = [process, *process.children(recursive=True)]
    return sum(one.memory_info().rss for one in everybody) / 2**20


def _free_port() -> int:
    import socket

    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])
