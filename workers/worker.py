"""A worker process: threads that take messages, one event loop in which actors run."""

from __future__ import annotations

import signal
import threading
from types import FrameType

import redis
from dramatiq import Worker

from billing.common.settings import Settings
from workers.broker import make_broker
from workers.redis import Presence, quiet_consumers

THREADS = 4
LOOK_EVERY_S = 5
STOP_TIMEOUT_MS = 25_000
"""How long a message may go on after SIGTERM; what is then undone is done by the next worker."""


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
    worker.stop(STOP_TIMEOUT_MS)
    broker.close()
