"""Batches of a thousand accruals over HTTP."""

from __future__ import annotations

import asyncio
import random
import time
from uuid import UUID, uuid4

import msgspec
from msgspec import Struct

from bench.house import Database
from bench.load import Client, sale

BATCH = 1000


class _Fate(Struct):
    status: int


class _Fates(Struct):
    results: list[_Fate]


AT_ONCE = 12
"""Connections: an importer's, and enough that every API process gets some of them. Each has
customers of its own: no group waits for another's locks."""


async def batch_rate(client: Client, database: Database, batches: int) -> float:
    """Accruals per second over `AT_ONCE` connections; bodies are made beforehand."""
    shares = [database.customers[at::AT_ONCE] for at in range(AT_ONCE)]
    requests = [
        [client.post("/v1/batches", _batch(share)) for _ in range(max(1, batches // AT_ONCE))]
        for share in shares
    ]
    count = BATCH * sum(map(len, requests))
    started = time.perf_counter()

    async def load(mine: list[bytes]) -> None:
        async with client.connection() as connection:
            for request in mine:
                status, body = await connection.ask(request)
                # The statuses alone: what the generator reads, it takes from the server.
                fates = msgspec.json.decode(body, type=_Fates).results if status == 200 else []
                if [one.status for one in fates] != [201] * BATCH:
                    raise RuntimeError(f"answer {status}: {body[:500]!r}")

    await asyncio.gather(*map(load, requests))
    return count / (time.perf_counter() - started)


def _batch(customers: list[UUID]) -> dict[str, object]:
    return {
        "mode": "independent",
        "operations": [
            {
                "kind": "accrual",
                "idempotency_key": uuid4().hex,
                "body": sale(random.choice(customers), redeem=False),
            }
            for _ in range(BATCH)
        ],
    }
