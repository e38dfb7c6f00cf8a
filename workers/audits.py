"""Sealing what is committed, and the nightly audit."""

from __future__ import annotations

from typing import Final

import dramatiq
from dramatiq import Broker, Middleware, Worker
from dramatiq.asyncio import async_to_sync

from billing.audits.service import Auditor, Sealing, newest_night
from billing.audits.signing import seal_key_of
from billing.common.db import Database
from billing.common.settings import Settings
from integrations.webhooks.auditing import undelivered
from workers.ledger import OpenLedger
from workers.names import AUDIT, SEAL

CONNECTIONS: Final = 2
SECOND: Final = 1000
MINUTE: Final = 60 * SECOND
HOUR: Final = 60 * MINUTE


class OpenAudits(Middleware):
    """Sealing and audits, while the worker runs. Stands behind OpenLedger in the broker's list."""

    def __init__(self, settings: Settings, opened: OpenLedger) -> None:
        self._settings = settings
        self._opened = opened
        self._database: Database | None = None

    def before_worker_boot(self, broker: Broker, worker: Worker) -> None:
        settings, clock = self._settings, self._opened.ledger.clock
        database = Database(settings.database_url, application="bonus-audits", size=CONNECTIONS)
        key = seal_key_of(settings)
        self._database = database
        self._sealing = Sealing(
            settings.database_url, database, key, settings.checkpoint_file, clock
        )
        self._auditor = Auditor(
            settings.database_url, database, by_hand=(undelivered,), clock=clock
        )

    def after_worker_shutdown(self, broker: Broker, worker: Worker) -> None:
        if self._database is not None:
            async_to_sync(self._database.close)()

    async def seal(self) -> int:
        """Seal all that is committed; how many rows were."""
        return await self._sealing.run(lambda: self._opened.stopping)

    async def audit(self) -> int:
        """The nightly audit, when it is due; how many postings were looked at."""
        at = self._settings.audit_at
        if at is None:
            return 0
        night = newest_night(self._opened.ledger.clock(), at, self._settings.timezone)
        report = await self._auditor.run_when_due(night)
        return 0 if report is None else report.postings


def declare_audits(broker: Broker, audits: OpenAudits) -> None:
    """Register the actors with the broker. Times are in milliseconds."""
    for name, function, limit in ((SEAL, audits.seal, 1 * HOUR), (AUDIT, audits.audit, 12 * HOUR)):
        dramatiq.actor(
            broker=broker,
            actor_name=name,
            alone=True,
            max_retries=0,  # the scheduler's next message goes on
            max_age=5 * MINUTE,
            time_limit=limit,
        )(function)
