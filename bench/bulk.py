"""Batches of a thousand accruals over HTTP."""

from __future__ import annotations

import random
import time
from uuid import uuid4

import msgspec

from bench.house import Database
from bench.load import Client, sale

BATCH = 1000


AT_ONCE = 12
"""Connections: an importer's, and enough that every API process gets some of them."""


async def batch_rate(client: Client, database: Database, batches: int) -> float:
    """Accruals per second over `AT_ONCE` connections; bodies are made beforehand."""
    import asyncio

    requests = [client.post("/v1/batches", _batch(database)) for _ in range(batches)]
    started = time.perf_counter()

    async def till() -> None:
        async with client.connection() as connection:
            while requests:
                status, body = await connection.ask(requests.pop())
                results = msgspec.json.decode(body)["results"] if status == 200 else []
                if len(results) != BATCH or any(one["status"] != 201 for one in results):
                    raise RuntimeError(f"answer {status}: {body[:500]!r}")

    await asyncio.gather(*(till() for _ in range(AT_ONCE)))
    return batches * BATCH / (time.perf_counter() - started)


def _batch(database: Database) -> dict[str, object]:
    return {
        "mode": "independent",
        "operations": [
            {
                "kind": "accrual",
                "idempotency_key": uuid4().hex,
                "body": sale(random.choice(database.customers), redeem=False),
            }
            for _ in range(BATCH)
        ],
    }
