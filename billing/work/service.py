"""The report on work outside the request."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from datetime import datetime
from typing import Literal

import msgspec

from billing.common.db import Database
from billing.work import store
from billing.work.lags import FAILED, LAGS, Failed, Lag
from billing.work.model import SEEN_S, Process, Run, WorkReport, is_late, problems_of
from billing.work.queues import Queues
from billing.work.store import RunRow
from ledger.group import Clock
from ledger.service import utc_now


class Work:
    """`every_s` says of each actor how often it is sent."""

    def __init__(
        self,
        database: Database,
        queues: Queues,
        every_s: Mapping[str, int],
        *,
        lags: Sequence[Lag] = LAGS,
        failed: Sequence[Failed] = FAILED,
        clock: Clock = utc_now,
    ) -> None:
        self._database = database
        self._queues = queues
        self._every_s = every_s
        self._lags = lags
        self._failed = failed
        self._clock = clock

    async def report(self) -> WorkReport:
        """What waits, what is late, who works. Raises Overloaded when the database is away."""
        now = self._clock()
        state, queues = await self._queues.read()
        seen = await store.processes(self._database, now)
        runs = {run.name: run for run in await store.last_runs(self._database, now)}
        report = WorkReport(
            at=now,
            problems=[],
            redis=state,
            queues=queues,
            waiting=await store.waiting(self._database, self._lags, now),
            dead=await store.dead(self._database, self._failed, now),
            actors=[
                self._run(name, runs.get(name), seen, now)
                for name in sorted({*runs, *self._every_s})
            ],
            processes=seen,
        )
        urgent = {one.name: one.advice for one in self._failed if one.advice is not None}
        return msgspec.structs.replace(report, problems=list(problems_of(report, urgent)))

    async def close(self) -> None:
        await self._queues.close()

    def _run(self, name: str, run: RunRow | None, seen: list[Process], now: datetime) -> Run:
        every_s = self._every_s.get(name)
        if run is None:
            # Late only when somebody should have sent it all the while.
            leads = [one.leads_since for one in seen if one.leads_since is not None]
            late = every_s is not None and any(is_late(one, now, every_s) for one in leads)
            return Run(name, every_s, None, None, None, "never", None, None, 0, late)
        outcome = _outcome(run, now)
        last = run.finished_at or run.seen_at or run.started_at
        late = outcome != "running" and every_s is not None and is_late(last, now, every_s)
        return Run(
            actor=name,
            every_s=every_s,
            started_at=run.started_at,
            finished_at=run.finished_at,
            age_s=max((now - last).total_seconds(), 0.0),
            outcome=outcome,
            handled=run.handled,
            error=run.error,
            repeats=run.repeats,
            late=late,
        )


def _outcome(run: RunRow, now: datetime) -> Literal["done", "failed", "running", "lost"]:
    if run.outcome == "done":
        return "done"
    if run.outcome is not None:
        return "failed"
    seen = run.seen_at or run.started_at
    return "running" if (now - seen).total_seconds() < SEEN_S else "lost"
