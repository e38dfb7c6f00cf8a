"""A house of its own to break: durable PostgreSQL, Redis and `bonus serve` in a folder."""

from __future__ import annotations

import json
import shutil
import tempfile
from base64 import b64encode
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import httpx
import pytest

from billing.common.embedded import EmbeddedPostgres, EmbeddedRedis
from billing.common.settings import load_settings
from migrations.runner import upgrade
from tests.acceptance.serving import Serving, environ_of
from tests.soak.fleet import GROUP, SKU, STORES, phone_of
from tests.soak.house import House

CUSTOMERS = 12
_STORES = [(f"/v1/stores/{code}", {"name": "A", "channel": "shop"}) for code in STORES]
CHAIN: list[tuple[str, dict[str, Any]]] = [
    ("/v1/channels/shop", {"name": "Shops"}),
    *_STORES,
    (f"/v1/product-groups/{GROUP}", {"name": "Dairy"}),
    (f"/v1/products/{SKU}", {"name": "Milk", "group": GROUP}),
]
PROGRAM = {
    "code": "five",
    "name": "5% on everything",
    "valid_from": "2020-01-01T00:00:00Z",
    "reward": {"kind": "percent", "value": "5"},
}


@pytest.fixture(scope="module")
def folder() -> Iterator[Path]:
    made = Path(tempfile.mkdtemp(prefix="bonus-soak-"))
    made.chmod(0o755)
    yield made
    shutil.rmtree(made)


@pytest.fixture(scope="module")
async def house(folder: Path) -> AsyncIterator[House]:
    async with opened(folder) as made:
        yield made


@asynccontextmanager
async def opened(folder: Path, **more: str) -> AsyncIterator[House]:
    """Everything runs, with `more` in its environment; the chain has stores, a program and
    verified customers."""
    postgres, redis = EmbeddedPostgres(folder, durable=True), EmbeddedRedis(folder)
    serving: Serving | None = None
    try:
        postgres.start()
        redis.start()
        await upgrade(postgres.owner_url)
        settings = load_settings(
            {
                "DATABASE_URL": postgres.url,
                "BONUS_OWNER_DATABASE_URL": postgres.owner_url,
                "REDIS_URL": redis.url,
                "BONUS_SECRET_KEY": b64encode(bytes(range(32))).decode(),
                "BONUS_DATA_DIR": str(folder / "data"),
            }
        )
        serving = Serving(environ_of(settings, folder) | more, folder)
        serving.start()
        await serving.ready()
        house = House(postgres, redis, serving, postgres.url_of("postgres"))
        await _stock(house)
        yield house
    finally:
        if serving is not None:
            serving.stop()
        redis.stop()
        postgres.stop(mode="immediate")


async def _stock(house: House) -> None:
    made = house.serving.bonus("keys", "create", "--role", "admin", "--name", "fleet")
    house.key = made.stdout.strip()
    async with house.client() as client:
        for path, body in CHAIN:
            _done(await client.put(path, json=body))
        _done(await client.post("/v1/programs", json=PROGRAM))
        since = {"from": PROGRAM["valid_from"]}
        _done(await client.post(f"/v1/programs/{PROGRAM['code']}/publish", json=since))
        for number in range(CUSTOMERS):
            new = {"phone": phone_of(number), "status": "verified"}
            house.customers.append(_done(await client.post("/v1/customers", json=new))["id"])


def _done(answer: httpx.Response) -> Any:
    assert answer.is_success, answer.text
    return json.loads(answer.content)
