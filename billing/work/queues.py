"""The messages that wait in Redis, read where dramatiq keeps them."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final, Literal

import msgspec
from redis.asyncio import Redis
from redis.asyncio.retry import Retry
from redis.backoff import NoBackoff
from redis.exceptions import RedisError

from billing.work.model import Queue

TIMEOUT_S: Final = 1.0
State = Literal["up", "away", "not configured"]


class Names(msgspec.Struct, frozen=True):
    """The prefix of our keys, and our queues."""

    namespace: str
    queues: Sequence[str]


class Queues:
    """`redis_url` empty: not configured."""

    def __init__(self, redis_url: str, names: Names) -> None:
        self._names = names
        self._redis = (
            Redis.from_url(
                redis_url,
                socket_connect_timeout=TIMEOUT_S,
                socket_timeout=TIMEOUT_S,
                retry=Retry(NoBackoff(), retries=0),
            )
            if redis_url
            else None
        )

    async def read(self) -> tuple[State, list[Queue]]:
        """What is there; nothing is when Redis is away."""
        if self._redis is None:
            return "not configured", []
        try:
            async with self._redis.pipeline(transaction=False) as pipe:
                for name in self._names.queues:
                    key = f"{self._names.namespace}:{name}"
                    pipe.llen(key)
                    pipe.hlen(f"{key}.DQ.msgs")
                    pipe.zcard(f"{key}.XQ")
                found = await pipe.execute()
        except (RedisError, OSError):
            return "away", []
        return "up", [
            Queue(name, *found[3 * place : 3 * place + 3])
            for place, name in enumerate(self._names.queues)
        ]

    async def close(self) -> None:
        if self._redis is not None:
            await self._redis.aclose()
