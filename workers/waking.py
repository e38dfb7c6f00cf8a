"""Waking workers from elsewhere, such as an API process: at once, unless Redis is away."""

from __future__ import annotations

import asyncio

import redis
from dramatiq import Message
from dramatiq.brokers.redis import RedisBroker

from workers.redis import NAMESPACE, Presence, connect

QUEUE = "default"


def make_sender(redis_url: str) -> RedisBroker:
    """A broker that sends, and knows no actors."""
    return RedisBroker(  # type: ignore[no-untyped-call]
        client=connect(redis_url), namespace=NAMESPACE, middleware=[]
    )


def send(sender: RedisBroker, actor: str) -> None:
    """Send `actor` a message without arguments. Raises RedisError."""
    sender.enqueue(Message(queue_name=QUEUE, actor_name=actor, args=(), kwargs={}, options={}))


class Waker:
    """Sends messages to actors without waiting. What is not sent, the scheduler sends later."""

    def __init__(self, redis_url: str) -> None:
        self._broker: RedisBroker | None = None
        if redis_url:
            self._broker = make_sender(redis_url)
        self._presence = Presence()
        self._sending: set[asyncio.Task[None]] = set()

    def wake(self, actor: str) -> None:
        """Send `actor` a message without arguments, from a running event loop."""
        task = asyncio.create_task(asyncio.to_thread(self._send, actor))
        self._sending.add(task)
        task.add_done_callback(self._sending.discard)

    async def close(self) -> None:
        """Let what is being sent leave."""
        await asyncio.gather(*self._sending)
        if self._broker is not None:
            self._broker.close()

    def _send(self, actor: str) -> None:
        if self._broker is None:
            return
        try:
            send(self._broker, actor)
        except redis.RedisError as error:
            self._presence.is_away(error)
        else:
            self._presence.is_there()
