"""How long requests take, by route and status, for Prometheus.

With several API processes each counts in files of the folder PROMETHEUS_MULTIPROC_DIR, and any of
them answers /metrics for all; the variable must be set before the processes start.
"""

from __future__ import annotations

import os

from prometheus_client import CollectorRegistry, Histogram, generate_latest
from prometheus_client.multiprocess import MultiProcessCollector

from billing.common.http import Observer

BUCKETS_S = (0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5)
CONTENT_TYPE = b"text/plain; version=0.0.4; charset=utf-8"
MULTIPROCESS_DIR = "PROMETHEUS_MULTIPROC_DIR"


class Metrics:
    """The metrics of one application; others may add theirs to `registry`."""

    def __init__(self) -> None:
        self.registry = CollectorRegistry()
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
        if not os.environ.get(MULTIPROCESS_DIR):
            return generate_latest(self.registry)
        whole = CollectorRegistry()
        MultiProcessCollector(whole)  # type: ignore[no-untyped-call]
        return generate_latest(whole)
