"""Beginning what is due: a campaign whose time has come gets a run, once a time."""

from __future__ import annotations

from datetime import datetime, timedelta
from zoneinfo import ZoneInfo

import structlog
from sqlalchemy.ext.asyncio import AsyncConnection

from billing.campaigns import store
from billing.campaigns.definition import compile_terms, read
from billing.campaigns.model import Campaign
from billing.campaigns.schedule import Schedule
from billing.common.db import Database
from ledger.ids import uuid7

log = structlog.stdlib.get_logger(__name__)


async def begin(
    database: Database, code: str, now: datetime, catch_up: timedelta, zone: ZoneInfo
) -> bool:
    """Begin the run of a campaign that is due; one that is missed for longer than `catch_up` is
    skipped, and said to be. False: somebody else has it. Raises Overloaded."""
    total: int | None = None
    async with database.transaction(timeout_s=60) as tx:
        campaign = await store.lock(tx, code, skip=True)
        if campaign is None or campaign.state != "scheduled":
            return False
        due = campaign.next_run_at
        if due is None or due > now:
            return False
        terms = compile_terms(code, read(campaign.definition), zone)
        if due < now - catch_up:
            await _skip(tx, campaign, terms.schedule, due, now, catch_up)
            return True
        if terms.audience is None:
            total = campaign.audience_size
        else:
            total = await store.count_customers(database, now)
        run = {"id": uuid7(), "code": code, "scheduled_at": due, "state": "running"}
        await store.insert_run(tx, run | {"started_at": now, "total": total})
        await store.change(tx, code, state="running", next_run_at=None)
    log.info("campaign_run_begun", campaign=code, scheduled_at=due.isoformat(), total=total)
    return True


async def _skip(
    tx: AsyncConnection, campaign: Campaign, schedule: Schedule, due: datetime, now: datetime,
    catch_up: timedelta,
) -> None:  # fmt: skip
    following = schedule.after(now - catch_up)
    why = f"Missed: no worker ran for more than {catch_up.days} days after its time."
    if following is not None:
        why += f" So were those after it, until {following.isoformat()}."
    run = {"id": uuid7(), "code": campaign.code, "scheduled_at": due, "state": "skipped"}
    await store.insert_run(tx, run | {"finished_at": now, "error": why})
    if following is not None:
        await store.change(tx, campaign.code, next_run_at=following)
    else:
        await store.change(tx, campaign.code, state="failed", next_run_at=None, failure=why)
    log.warning("campaign_run_skipped", campaign=campaign.code, scheduled_at=due.isoformat())
