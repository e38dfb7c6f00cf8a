"""The last audit and the seals for Prometheus: looked at once a minute, never by a scrape."""

from __future__ import annotations

import asyncio
from contextlib import suppress
from datetime import datetime
from typing import Final

import structlog
from prometheus_client import Gauge

from billing.audits.reading import AuditReader
from billing.audits.schemas import LedgerAuditOut
from billing.common.errors import Overloaded
from billing.common.metrics import Metrics
from ledger.group import Clock
from ledger.service import utc_now

FIRST_S: Final = 3.0
EVERY_S: Final = 60.0

log = structlog.stdlib.get_logger(__name__)


class AuditSampler:
    def __init__(self, metrics: Metrics, reader: AuditReader, clock: Clock = utc_now) -> None:
        self._reader = reader
        self._metrics = metrics
        self._clock = clock
        self._task: asyncio.Task[None] | None = None
        self._age = self._gauge("audit_age_seconds", "Since the last audit ended; -1: none yet")
        self._findings = self._gauge("audit_findings", "What the last audit found wrong")
        self._warnings = self._gauge("audit_warnings", "What the last audit found late")
        self._postings = self._gauge("audit_postings", "How many postings the last audit saw")
        self._unsealed = self._gauge("seals_unsealed", "Transactions in no block, up to 1000")
        self._lag = self._gauge("seals_lag_seconds", "How long the oldest of them has waited")
        self._block = self._gauge("seals_block", "The last block of a chain", "chain")

    async def start(self) -> None:
        self._task = asyncio.create_task(self._run(), name="audit sampler")

    async def stop(self) -> None:
        if self._task is not None:
            self._task.cancel()
            with suppress(asyncio.CancelledError):
                await self._task

    async def sample(self) -> None:
        """Look once. Raises Overloaded when the database is away."""
        self._tell(await self._reader.read(), self._clock())

    def _tell(self, seen: LedgerAuditOut, now: datetime) -> None:
        last, seals = seen.last, seen.seals
        self._age.set(-1 if last is None else (now - last.finished_at).total_seconds())
        self._findings.set(0 if last is None else last.finding_count)
        self._warnings.set(0 if last is None else len(last.warnings))
        self._postings.set(0 if last is None else last.postings)
        self._unsealed.set(seals.unsealed)
        oldest = seals.oldest_unsealed
        self._lag.set(0 if oldest is None else max((now - oldest).total_seconds(), 0.0))
        for chain, head in seals.chains.items():
            self._block.labels(chain).set(head.block)

    def _gauge(self, name: str, words: str, *labels: str) -> Gauge:
        return Gauge(
            f"bonus_{name}",
            words,
            labels,
            multiprocess_mode="livemostrecent",
            registry=self._metrics.registry,
        )

    async def _run(self) -> None:
        await asyncio.sleep(FIRST_S)
        while True:
            try:
                await self.sample()
            except Overloaded:
                pass  # /health/ready says so; the gauges keep what they last saw
            except Exception:
                log.exception("audits cannot be looked at")
            await asyncio.sleep(EVERY_S)
