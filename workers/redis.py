"""Redis as workers use it: no call hangs, and its absence is remarked on once."""

from __future__ import annotations

import logging

import redis
import structlog
from redis.backoff import NoBackoff
from redis.retry import Retry

TIMEOUT_S = 5
NAMESPACE = "bonus"
"""The prefix of our keys."""

_log = structlog.get_logger("workers.redis")


def connect(url: str) -> redis.Redis:
    return redis.Redis.from_url(
        url,
        socket_timeout=TIMEOUT_S,
        socket_connect_timeout=TIMEOUT_S,
        retry=Retry(NoBackoff(), 1),
    )


class Presence:
    """Remembers whether Redis was there, to say only when that changes."""

    def __init__(self) -> None:
        self._away = False

    def is_there(self) -> None:
        if self._away:
            _log.info("redis_back")
        self._away = False

    def is_away(self, error: Exception) -> None:
        if not self._away:
            _log.warning("redis_away", error=str(error), consequence="work is late, none is lost")
        self._away = True


def quiet_consumers() -> None:
    """Drop dramatiq's remarks on every attempt to reconnect, which `Presence` says once, and on
    every message that finds its actor at work already."""
    for handler in logging.getLogger().handlers:
        handler.addFilter(_is_news)


_NO_NEWS = (
    ("ConsumerThread", "Consumer encountered a connection"),
    ("ConsumerThread", "Restarting consumer"),
    ("WorkerThread", "Message %s was skipped"),
)


def _is_news(record: logging.LogRecord) -> bool:
    return not any(
        record.name.startswith(f"dramatiq.worker.{thread}") and str(record.msg).startswith(words)
        for thread, words in _NO_NEWS
    )
