"""A load generator that costs little itself: raw sockets, requests made of bytes."""

from __future__ import annotations

import asyncio
import json
import random
import time
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any
from uuid import UUID, uuid4

_LINES = [
    {"line": line, "sku": sku, "group": group, "quantity": quantity, "price": price, "amount": sum_}
    for line, sku, group, quantity, price, sum_ in (
        (1, "a", "dairy", "2", "500.00", "1000.00"),
        (2, "b", "meat", "1", "333.33", "333.33"),
        (3, "c", "bread", "1", "100.01", "100.01"),
    )
]
REDEEMING = 0.3


class Connection:
    """One kept-alive HTTP/1.1 connection."""

    def __init__(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self._reader = reader
        self._writer = writer

    async def ask(self, request: bytes) -> tuple[int, bytes]:
        """Send a request; its status and body."""
        self._writer.write(request)
        head = await self._reader.readuntil(b"\r\n\r\n")
        at = head.lower().index(b"content-length: ") + 16
        body = await self._reader.readexactly(int(head[at : head.index(b"\r", at)]))
        return int(head[9:12]), body

    def close(self) -> None:
        self._writer.close()


@dataclass
class Client:
    """Makes requests of one server, with one key."""

    port: int
    key: str

    @asynccontextmanager
    async def connection(self) -> AsyncIterator[Connection]:
        opened = Connection(*await asyncio.open_connection("127.0.0.1", self.port, limit=2**24))
        try:
            yield opened
        finally:
            opened.close()

    def get(self, path: str) -> bytes:
        return (
            f"GET {path} HTTP/1.1\r\nhost: bench\r\nauthorization: Bearer {self.key}\r\n\r\n"
        ).encode()

    def post(self, path: str, body: Any, key: str | None = None) -> bytes:
        raw = json.dumps(body).encode()
        head = (
            f"POST {path} HTTP/1.1\r\nhost: bench\r\nauthorization: Bearer {self.key}\r\n"
            f"content-type: application/json\r\nidempotency-key: {key or uuid4().hex}\r\n"
            f"content-length: {len(raw)}\r\n\r\n"
        )
        return head.encode() + raw


def sale(customer: UUID, *, redeem: bool) -> dict[str, Any]:
    """A receipt of three lines, perhaps paid in part with points."""
    body: dict[str, Any] = {
        "customer": {"customer_id": str(customer)},
        "channel": "shop",
        "store": "m1",
        "receipt": {
            "number": uuid4().hex,
            "occurred_at": datetime.now(UTC).isoformat(),
            "lines": _LINES,
        },
    }
    if redeem:
        body["redeem"] = {"points": "20.00"}
    return body


def some_sale(customers: list[UUID]) -> dict[str, Any]:
    return sale(random.choice(customers), redeem=random.random() < REDEEMING)


@dataclass
class Run:
    """What a stretch of load came to. Latencies in milliseconds."""

    rate: float
    p50: float
    p99: float


async def drive(
    client: Client, request: Callable[[], bytes], *, connections: int, seconds: float
) -> Run:
    """Keep `connections` busy for `seconds`. Raises when an answer is not of the 200s."""
    latencies: list[float] = []
    started = time.perf_counter()
    stop = started + seconds

    async def till() -> None:
        async with client.connection() as connection:
            while time.perf_counter() < stop:
                message = request()
                sent = time.perf_counter()
                status, body = await connection.ask(message)
                latencies.append(time.perf_counter() - sent)
                if status // 100 != 2:
                    raise RuntimeError(f"answer {status}: {body[:500]!r}")

    await asyncio.gather(*(till() for _ in range(connections)))
    elapsed = time.perf_counter() - started
    latencies.sort()
    return Run(
        len(latencies) / elapsed,
        latencies[len(latencies) // 2] * 1e3,
        latencies[int(len(latencies) * 0.99)] * 1e3,
    )
