"""A till's far end on a bad day: a tiny HTTP server that loses connections, refuses and repeats.

It knows nothing of points. It keeps the answer of each idempotency key, as the contract says, and
has a fault for whichever request a test names.
"""

from __future__ import annotations

import asyncio
import json
from collections import Counter
from collections.abc import AsyncIterator, Callable
from typing import Any

import pytest

Request = tuple[str, str, str, bytes]
"""Method, path, idempotency key, body."""


class FarEnd:
    def __init__(self) -> None:
        self.url = ""
        self.seen: list[Request] = []
        self.kept: dict[str, tuple[bytes, bytes]] = {}
        self.customers: set[str] = set()
        self.retry_after_s = 0
        self.answers_after_s = 0.0
        self.available = "10.00"
        self.fault: Callable[[int, Request], str | None] = lambda number, request: None
        """The number of a request counts from 1. Faults: "lost before", "lost after", "503" ..."""

    def posts(self) -> Counter[str]:
        return Counter(key for method, _, key, _ in self.seen if method == "POST" and key)

    async def serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        try:
            while request := await _read(reader):
                self.seen.append(request)
                await asyncio.sleep(self.answers_after_s)
                fault = self.fault(len(self.seen), request)
                if fault == "lost before":
                    break
                status, headers, body = self._answer(request, fault)
                if fault == "lost after":
                    writer.write(b"HTTP/1.1 201 Created\r\nContent-Le")
                    break
                head = f"HTTP/1.1 {status} Status\r\n{headers}Content-Length: {len(body)}\r\n\r\n"
                writer.write(head.encode() + body)
                await writer.drain()
        finally:
            writer.close()

    def _answer(self, request: Request, fault: str | None) -> tuple[int, str, bytes]:
        _, path, key, body = request
        if fault and fault.isdecimal():
            return int(fault), f"Retry-After: {self.retry_after_s}\r\n", b"{}"
        if key:
            return self._post(key, path, body)
        if path == "/v1/customers":
            return self._customer(json.loads(body)["cards"][0])
        if path.endswith("/balance"):
            return 200, "", json.dumps({"available": self.available}).encode()
        return 200, "", b'{"items": [], "next_cursor": null}'

    def _customer(self, card: str) -> tuple[int, str, bytes]:
        if card in self.customers:
            known = {"code": "customer_exists", "customer_id": card}
            return 409, "", json.dumps(known).encode()
        self.customers.add(card)
        return 201, "", json.dumps({"id": card}).encode()

    def _post(self, key: str, path: str, body: bytes) -> tuple[int, str, bytes]:
        if key in self.kept:
            before, answer = self.kept[key]
            if before != body:
                return 422, "", b'{"code": "idempotency_key_reused", "detail": "other body"}'
            return 201, "Idempotency-Hit: true\r\n", answer
        sent = json.loads(body)
        redeem = sent.get("redeem", {}).get("points", "0.00")
        answer = json.dumps(
            {"accruals": [{"points": "1.05"}, {"points": "0.10"}], "redeemed": redeem}
            if path != "/v1/redemptions"
            else {"points": sent["points"]}
        ).encode()
        self.kept[key] = (body, answer)
        return 201, "", answer


async def _read(reader: asyncio.StreamReader) -> Request | None:
    try:
        first, *rows = (await reader.readuntil(b"\r\n\r\n")).decode().split("\r\n")
    except (asyncio.IncompleteReadError, ConnectionError):
        return None
    headers: dict[str, Any] = dict(row.lower().split(": ", 1) for row in rows if row)
    method, path, _ = first.split(" ")
    body = await reader.readexactly(int(headers["content-length"]))
    return method, path, headers.get("idempotency-key", ""), body


@pytest.fixture
async def far_end() -> AsyncIterator[FarEnd]:
    end = FarEnd()
    server = await asyncio.start_server(end.serve, "127.0.0.1", 0)
    end.url = f"http://127.0.0.1:{server.sockets[0].getsockname()[1]}"
    yield end
    server.close()
