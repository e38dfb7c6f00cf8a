"""Posting what scenarios give for registrations and verifications that no request posted."""

from __future__ import annotations

from typing import Final

from dramatiq import Broker, Middleware, Worker
from dramatiq.asyncio import async_to_sync

from billing.catalog.service import Catalog
from billing.common.db import Database
from billing.common.settings import Settings
from billing.programs.book import ProgramBook
from billing.scenarios.waiting import WaitingScenarios
from workers.ledger import OpenLedger

CONNECTIONS: Final = 2


class OpenScenarios(Middleware):
    """What a sweep needs, while the worker runs. Stands behind OpenLedger in the broker's list."""

    def __init__(self, settings: Settings, opened: OpenLedger) -> None:
        self._settings = settings
        self._opened = opened
        self._database: Database | None = None
        self._waiting: WaitingScenarios | None = None

    @property
    def waiting(self) -> WaitingScenarios:
        if self._waiting is None:
            raise RuntimeError("scenarios are posted in a running worker only")
        return self._waiting

    def before_worker_boot(self, broker: Broker, worker: Worker) -> None:
        settings = self._settings
        database = Database(settings.database_url, application="bonus-scenarios", size=CONNECTIONS)
        catalog = Catalog(database)
        self._database = database
        self._waiting = WaitingScenarios(
            self._opened.ledger,
            database,
            catalog,
            ProgramBook(database, catalog),
            timezone=settings.timezone.key,
        )

    def after_worker_shutdown(self, broker: Broker, worker: Worker) -> None:
        if self._database is not None:
            async_to_sync(self._database.close)()
