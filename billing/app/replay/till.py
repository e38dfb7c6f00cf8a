"""A till: one connection, and the manners of the contract about trying again.

429 and 503 are answered by waiting as long as Retry-After says, and a little by chance, so that
tills do not come back all at once. A lost connection or an answer 500, 502 or 504 leaves open
whether the request was carried out: the same request goes out again with the same key.
"""

from __future__ import annotations

import asyncio
import random
import time
from collections.abc import Callable
from contextlib import suppress
from typing import Any

import msgspec

from billing.app.replay.wire import Address, Answer, Connection, LostConnection

FIRST_PAUSE_S = 0.1
LONGEST_PAUSE_S = 5.0
JITTER_S = 0.5
MAX_SERVER_ERRORS = 5
"""A request that is answered 500 this often, whatever came between, is given up; the next one goes
on."""
_AGAIN = frozenset((429, 502, 503, 504))
"""The service, or what stands before it, was too busy or away: as long as patience lasts."""


class Stopped(Exception):
    """The person asked to stop while a request waited to be sent again."""


class Unreachable(Exception):
    """The service has refused or not answered for longer than `patience_s`."""


class Till:
    """`retried` is called at every new attempt."""

    def __init__(
        self,
        address: Address,
        key: str,
        stop: asyncio.Event,
        retried: Callable[[], None],
        patience_s: float = 120.0,
        timeout_s: float = 30.0,
    ) -> None:
        self._connection = Connection(address, key, timeout_s)
        self._stop = stop
        self._retried = retried
        self._patience_s = patience_s

    async def get(self, path: str) -> Answer:
        return await self._send("GET", path, b"", {})

    async def put(self, path: str, body: Any) -> Answer:
        return await self._send("PUT", path, msgspec.json.encode(body), {})

    async def post(self, path: str, body: Any, key: str | None = None) -> Answer:
        """`key` is the Idempotency-Key, needed wherever points move."""
        headers = {"Idempotency-Key": key} if key else {}
        return await self._send("POST", path, msgspec.json.encode(body), headers)

    def close(self) -> None:
        self._connection.close()

    async def _send(self, method: str, path: str, body: bytes, headers: dict[str, str]) -> Answer:
        started, attempt, failed = time.monotonic(), 0, 0
        while True:
            attempt += 1
            try:
                answer = await self._connection.request(method, path, body, headers)
            except LostConnection as error:
                why, pause = str(error), _backoff(attempt)
            else:
                if answer.status not in _AGAIN:
                    failed += answer.status >= 500
                    if answer.status < 500 or failed == MAX_SERVER_ERRORS:
                        return answer
                why, pause = f"answer {answer.status}", _pause(answer, attempt)
            if time.monotonic() + pause - started > self._patience_s:
                raise Unreachable(f"{method} {path}: {why}")
            await self._wait(pause)
            self._retried()

    async def _wait(self, pause_s: float) -> None:
        with suppress(TimeoutError):
            await asyncio.wait_for(self._stop.wait(), pause_s)
        if self._stop.is_set():
            raise Stopped


def _pause(answer: Answer, attempt: int) -> float:
    asked = answer.headers.get("retry-after", "")
    if asked.isdecimal():
        return int(asked) + random.uniform(0, JITTER_S)  # noqa: S311
    return _backoff(attempt)


def _backoff(attempt: int) -> float:
    longest: float = min(LONGEST_PAUSE_S, FIRST_PAUSE_S * 2 ** min(attempt, 10))
    return random.uniform(longest / 2, longest)  # noqa: S311
