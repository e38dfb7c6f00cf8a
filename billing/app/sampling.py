"""What the lanes and the refusals count for themselves, told to Prometheus once a second.

Each process tells its own numbers: only so does a scrape, which one process answers for all, see
the others' lanes.
"""

from __future__ import annotations

import asyncio
from collections import Counter as Tally

from prometheus_client import Counter, Gauge

from billing.common.metrics import Metrics
from billing.common.problems import told
from billing.common.tasks import end
from ledger.lane import Lane
from ledger.service import Ledger

EVERY_S = 1.0


class Sampler:
    """Copies plain numbers into the metrics: what was counted since the last time."""

    def __init__(self, metrics: Metrics, ledger: Ledger) -> None:
        self._lanes = {str(number): lane for number, lane in enumerate(ledger.lanes)}
        self._lanes["bulk"] = ledger.bulk_lane
        self._before: Tally[tuple[Counter, tuple[str, ...]]] = Tally()
        self._task: asyncio.Task[None] | None = None
        registry = metrics.registry
        self._depth = Gauge(
            "bonus_lane_depth",
            "Commands waiting in a lane",
            ["lane"],
            multiprocess_mode="livesum",
            registry=registry,
        )
        self._groups = Counter(
            "bonus_lane_groups", "Groups a lane has committed", ["lane"], registry=registry
        )
        self._commands = Counter(
            "bonus_lane_commands", "Commands a lane has decided", ["lane"], registry=registry
        )
        self._problems = Counter(
            "bonus_problems", "Refusals by code", ["code", "status"], registry=registry
        )
        metrics.before_exposition = self.sample

    async def start(self) -> None:
        self._task = asyncio.create_task(self._run(), name="metrics sampler")

    async def stop(self) -> None:
        await end(self._task)
        self.sample()

    def sample(self) -> None:
        for name, lane in self._lanes.items():
            self._sample_lane(name, lane)
        for (code, status), count in told.items():
            self._add(self._problems, count, code, str(status))

    def _sample_lane(self, name: str, lane: Lane) -> None:
        self._depth.labels(name).set(lane.depth)
        self._add(self._groups, lane.groups, name)
        self._add(self._commands, lane.commands, name)

    def _add(self, counter: Counter, total: int, *labels: str) -> None:
        key = (counter, labels)
        counter.labels(*labels).inc(total - self._before[key])
        self._before[key] = total

    async def _run(self) -> None:
        while True:
            self.sample()
            await asyncio.sleep(EVERY_S)
