"""A worker process: threads that take messages, one event loop in which actors run."""

from __future__ import annotations

import os
import signal
import threading
from types import FrameType

import redis
import structlog
from dramatiq import Worker

from billing.common.settings import Settings
from workers.broker import make_broker
from workers.redis import Presence, quiet_consumers

_log = structlog.get_logger("workers.worker")

THREADS = 20
"""Messages at work at a time. Actors run in one event loop: their threads only wait for it."""
LOOK_EVERY_S = 5
STOP_TIMEOUT_MS = 25_000
"""How long a message may go on after SIGTERM; what is then undone is done by the next worker."""
END_S = 35
"""When a worker that was asked to stop ends in any case: less than its supervisors' patience."""


def run_worker(settings: Settings) -> None:
    """Work until SIGTERM or SIGINT. Redis may come and go."""
    stop = threading.Event()

    def ask(_number: int, _frame: FrameType | None) -> None:
        stop.set()

    signal.signal(signal.SIGTERM, ask)
    signal.signal(signal.SIGINT, ask)
    quiet_consumers()
    broker = make_broker(settings)
    broker.emit_after("process_boot")
    worker = Worker(broker, worker_threads=THREADS)
    worker.start()
    presence = Presence()
    while not stop.is_set():
        try:
            broker.client.ping()
        except redis.RedisError as error:
            presence.is_away(error)
        else:
            presence.is_there()
        stop.wait(LOOK_EVERY_S)
    _end_at_last()
    worker.stop(STOP_TIMEOUT_MS)
    broker.close()


def _end_at_last() -> None:
    """Whatever hangs, such as a database that is silent: PostgreSQL rolls back what it began."""

    def end() -> None:
        _log.error("worker_killed", because=f"it did not stop within {END_S} s")
        os._exit(1)

    timer = threading.Timer(END_S, end)
    timer.daemon = True
    timer.start()
