"""The report on work for Prometheus: looked at every quarter of a minute, never by a scrape."""

from __future__ import annotations

import asyncio
from typing import Final

import structlog
from prometheus_client import Gauge

from billing.common.errors import Overloaded
from billing.common.metrics import Metrics
from billing.common.tasks import end
from billing.work.model import WorkReport
from billing.work.service import Work

FIRST_S: Final = 2.0
EVERY_S: Final = 15.0

log = structlog.stdlib.get_logger(__name__)


class WorkSampler:
    """Every API process looks for itself; of several, the newest look is told."""

    def __init__(self, metrics: Metrics, work: Work) -> None:
        self._work = work
        self._metrics = metrics
        self._task: asyncio.Task[None] | None = None
        self._waiting = self._gauge("waiting", "Work that is due, counted up to 1000", "kind")
        self._lag = self._gauge("lag_seconds", "How long the oldest due work has waited", "kind")
        self._dead = self._gauge("dead", "What waits for a person, up to 1000", "kind")
        self._late = self._gauge("problems", "How many things are late, as in GET /v1/work")
        self._age = self._gauge("last_run_age_seconds", "Since an actor last ran", "actor")
        self._failed = self._gauge("last_run_failed", "Whether its last run failed", "actor")
        self._processes = self._gauge("processes", "Processes seen within a minute", "role")
        self._leads = self._gauge("scheduler_leads", "Whether a scheduler sends")
        self._redis = self._gauge("redis_up", "Whether Redis answers")
        self._messages = self._gauge("queue_messages", "Messages in Redis", "queue", "state")

    async def start(self) -> None:
        self._task = asyncio.create_task(self._run(), name="work sampler")

    async def stop(self) -> None:
        await end(self._task)

    async def sample(self) -> None:
        """Look once. Raises Overloaded when the database is away."""
        self._tell(await self._work.report())

    def _gauge(self, name: str, words: str, *labels: str) -> Gauge:
        return Gauge(
            f"bonus_work_{name}",
            words,
            labels,
            multiprocess_mode="livemostrecent",
            registry=self._metrics.registry,
        )

    def _tell(self, report: WorkReport) -> None:
        for waiting in report.waiting:
            self._waiting.labels(waiting.name).set(waiting.waiting)
            self._lag.labels(waiting.name).set(waiting.oldest_age_s)
        for dead in report.dead:
            self._dead.labels(dead.name).set(dead.count)
        for run in report.actors:
            if run.age_s is not None:
                self._age.labels(run.actor).set(run.age_s)
            self._failed.labels(run.actor).set(run.outcome in ("failed", "lost"))
        for role in ("scheduler", "worker"):
            self._processes.labels(role).set(sum(p.role == role for p in report.processes))
        for queue in report.queues:
            for state in ("waiting", "delayed", "dead"):
                self._messages.labels(queue.name, state).set(getattr(queue, state))
        self._leads.set(any(process.leads_since for process in report.processes))
        self._redis.set(report.redis == "up")
        self._late.set(len(report.problems))

    async def _run(self) -> None:
        # Not while the service starts: whoever stops it at once must not wait for a look.
        await asyncio.sleep(FIRST_S)
        while True:
            try:
                await self.sample()
            except Overloaded:
                pass  # /health/ready says so; the gauges keep what they last saw
            except Exception:
                log.exception("work cannot be looked at")
            await asyncio.sleep(EVERY_S)
