"""The daily walk: events for everybody whose points expire N days later, in steps."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import date, timedelta
from typing import Final
from uuid import UUID
from zoneinfo import ZoneInfo

import structlog
from sqlalchemy.ext.asyncio import AsyncConnection

from billing.common.db import Database
from billing.events.store import New, record_many
from billing.notices import store
from billing.notices.model import day_of, notice_of
from billing.notices.store import NOBODY, Place, Run
from ledger.group import Clock
from ledger.service import utc_now
from ledger.state import Impossible

STEP_TIMEOUT_S: Final = 60.0
KEPT_DAYS: Final = 30
"""For how long it is remembered who was told of points that have expired since."""

log = structlog.stdlib.get_logger(__name__)


class ExpiryNotices:
    """`days_ahead`: how many days before the expiry, each; `zone` is the chain's.

    Any number may walk side by side, and be killed: a step is one transaction, in which what was
    told, its event and the place in the walk stand or fall together.
    """

    def __init__(
        self,
        database: Database,
        days_ahead: Sequence[int],
        zone: ZoneInfo,
        *,
        clock: Clock = utc_now,
    ) -> None:
        self._database = database
        self._days_ahead = days_ahead
        self._zone = zone
        self._clock = clock

    async def step(self, *, limit: int = 1000) -> int | None:
        """Look at up to `limit` customers; how many were told. None: nothing is left to do.

        Raises Overloaded when the database is away.
        """
        now = self._clock()
        today = now.astimezone(self._zone).date()
        async with self._database.transaction(timeout_s=STEP_TIMEOUT_S) as tx:
            await store.open_runs(tx, self._days_ahead, today, now)
            run = await store.claim(tx, today)
            if run is None:
                return None
            on = run.day + timedelta(days=run.days_ahead)
            begin, end = day_of(on, self._zone)
            after = (run.after_expires_at or begin, run.after_customer_id or NOBODY)
            places = await store.walk(tx, max(begin, now), end, after, limit)
            told = await self._tell(tx, run, on, places)
            over = len(places) < limit
            await store.move(tx, run, places[-1] if places else after, told, now if over else None)
        if over:
            log.info("expiry_notices_told", day=str(run.day), days_ahead=run.days_ahead)
        return told

    async def forget(self) -> None:
        """Drop what nobody needs to remember any more."""
        before = self._clock().astimezone(self._zone).date() - timedelta(days=KEPT_DAYS)
        async with self._database.transaction(timeout_s=STEP_TIMEOUT_S) as tx:
            await store.forget(tx, before)

    async def _tell(self, tx: AsyncConnection, run: Run, on: date, places: Sequence[Place]) -> int:
        """Write the events of those who were not told before; how many."""
        customers = list({customer for _, customer in places})
        if not customers:
            return 0
        now = self._clock()
        notices: dict[UUID, New] = {}
        for holdings in await store.holdings_of(tx, customers, now):
            try:
                notice = notice_of(holdings, on, run.days_ahead, self._zone, now)
            except (Impossible, KeyError) as error:
                # The sweep of what is due sets this customer aside; the others go on.
                log.error("notice_failed", customer=str(holdings.customer_id), error=repr(error))
                continue
            if notice is not None and notice.id is not None:
                notices[holdings.customer_id] = notice
        new = await store.tell(
            tx, on, run.days_ahead, {one: notice.id for one, notice in notices.items()}
        )
        await record_many(tx, [notice for one, notice in notices.items() if one in new])
        return len(new)
