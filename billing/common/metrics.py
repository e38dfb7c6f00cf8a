"""How long requests take, by route and status, for Prometheus.

With several API processes each counts in files of the folder PROMETHEUS_MULTIPROC_DIR, and any of
them answers /metrics for all; `bonus serve` sets the variable before the processes start.
"""

from __future__ import annotations

import os
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING

from prometheus_client import CollectorRegistry, Histogram, generate_latest
from prometheus_client.multiprocess import MultiProcessCollector

if TYPE_CHECKING:
    from billing.common.http import Observer

BUCKETS_S = (0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5)
CONTENT_TYPE = b"text/plain; version=0.0.4; charset=utf-8"
MULTIPROCESS_DIR = "PROMETHEUS_MULTIPROC_DIR"


class Metrics:
    """The metrics of one application; others may add theirs to `registry`."""

    def __init__(self) -> None:
        self.registry = CollectorRegistry()
        self.before_exposition: Callable[[], None] = lambda: None
        self._seconds = Histogram(
            "bonus_http_request_seconds",
            "Time to answer a request, by method, route and status",
            ["method", "route", "status"],
            buckets=BUCKETS_S,
            registry=self.registry,
        )

    def observer(self, method: str, route: str) -> Observer:
        """What to tell of every answer of a route; labels are looked up once a status."""
        children: dict[int, Histogram] = {}

        def observe(status: int, seconds: float) -> None:
            child = children.get(status)
            if child is None:
                child = children[status] = self._seconds.labels(method, route, str(status))
            child.observe(seconds)

        return observe

    def exposition(self) -> bytes:
        """All metrics in Prometheus' text format."""
        self.before_exposition()
        folder = os.environ.get(MULTIPROCESS_DIR)
        if not folder:
            return generate_latest(self.registry)
        _forget_the_dead(Path(folder))
        whole = CollectorRegistry()
        MultiProcessCollector(whole)  # type: ignore[no-untyped-call]
        return generate_latest(whole)


def _forget_the_dead(folder: Path) -> None:
    """Drop what killed processes said of their present; what they counted stays."""
    for file in folder.glob("gauge_live*_*.db"):
        try:
            os.kill(int(file.stem.rpartition("_")[2]), 0)
        except ProcessLookupError:
            file.unlink(missing_ok=True)
