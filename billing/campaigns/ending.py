"""Ending a run, whichever way, and saying so; and what the campaign is then."""

from __future__ import annotations

from datetime import datetime
from uuid import UUID

import structlog
from sqlalchemy.ext.asyncio import AsyncConnection

from billing.campaigns import store
from billing.campaigns.model import Run, RunState
from billing.campaigns.schedule import Schedule
from billing.common.db import Database
from billing.common.money import format_amount
from billing.events.model import event_id
from billing.events.schemas import CampaignFinished
from billing.events.store import record

_TOLD: dict[RunState, str] = {"finished": "done", "cancelled": "cancelled", "failed": "failed"}

log = structlog.stdlib.get_logger(__name__)


async def end_run(tx: AsyncConnection, run_id: UUID, schedule: Schedule, now: datetime) -> None:
    """The run has come to its end, or its campaign is cancelled: what comes next is settled."""
    run = await store.read_run(tx, run_id)
    campaign = await store.lock(tx, run.code) if run is not None else None
    if run is None or campaign is None:
        raise RuntimeError("a run and its campaign stay for ever")
    if campaign.state == "cancelled":
        await _end(tx, run, "cancelled", now)
        return
    await _end(tx, run, "finished", now)
    following = schedule.after(run.scheduled_at)
    if following is None:
        await store.change(tx, run.code, state="finished", next_run_at=None)
    elif campaign.state == "paused":
        await store.change(tx, run.code, next_run_at=following)
    else:
        await store.change(tx, run.code, state="scheduled", next_run_at=following)


async def break_off(database: Database, run_id: UUID, code: str, why: str, now: datetime) -> None:
    """The run cannot go on until somebody has mended the cause and resumes the campaign."""
    async with database.transaction() as tx:
        campaign = await store.lock(tx, code)
        run = await store.read_run(tx, run_id)
        if campaign is None or run is None or run.state != "running":
            return
        if campaign.state == "cancelled":
            await _end(tx, run, "cancelled", now)
            return
        await _end(tx, run, "failed", now, why)
        await store.change(tx, code, state="failed", failure=why)


async def give_up(database: Database, code: str, why: str) -> None:
    """The campaign cannot begin its run until somebody has mended the cause and resumes it."""
    async with database.transaction() as tx:
        campaign = await store.lock(tx, code)
        if campaign is not None and campaign.state == "scheduled":
            await store.change(tx, code, state="failed", failure=why)


async def _end(
    tx: AsyncConnection, run: Run, state: RunState, now: datetime, error: str | None = None
) -> None:
    await store.change_run(tx, run.id, state=state, finished_at=now, error=error)
    told = _TOLD[state]
    data = CampaignFinished(
        campaign=run.code,
        run=run.id,
        state=told,  # type: ignore[arg-type]
        customers=run.given,
        points=format_amount(run.points),
        failed=run.failed,
        started_at=run.started_at,
        finished_at=now,
    )
    await record(tx, data, now, id=event_id(run.id, f"{data.TYPE}/{told}"))
    log.info("campaign_run_ended", campaign=run.code, run=str(run.id), state=state, error=error)
