"""Jobs in a worker process: which kinds there are, and what their work needs."""

from __future__ import annotations

from collections.abc import Mapping

from dramatiq import Broker, Middleware, Worker
from dramatiq.asyncio import async_to_sync

from billing.campaigns.preview import KIND as CAMPAIGN_PREVIEW
from billing.common.db import Database
from billing.common.settings import Settings
from billing.imports.worker import KIND as BALANCE_IMPORT
from billing.imports.worker import ImportWork
from billing.jobs.model import Work
from billing.jobs.runner import JobRunner
from billing.simulations.model import SIMULATION
from billing.simulations.simulator import Simulator
from workers.campaigns import previewer
from workers.ledger import OpenLedger

CONNECTIONS = 2


def kinds_of(database: Database, opened: OpenLedger, settings: Settings) -> Mapping[str, Work]:
    """The work of every kind of job."""
    pool = opened.ledger.report_pool
    return {
        SIMULATION: Simulator(database, pool, settings.timezone.key).run,
        CAMPAIGN_PREVIEW: previewer(database, opened, settings).run,
        BALANCE_IMPORT: ImportWork(opened.ledger, database).run,
    }


class OpenJobs(Middleware):
    """A `JobRunner` while the worker runs. Stands behind OpenLedger in the broker's list."""

    def __init__(self, settings: Settings, opened: OpenLedger) -> None:
        self._settings = settings
        self._opened = opened
        self._database: Database | None = None
        self._runner: JobRunner | None = None

    @property
    def runner(self) -> JobRunner:
        if self._runner is None:
            raise RuntimeError("jobs are worked on in a running worker only")
        return self._runner

    def before_worker_boot(self, broker: Broker, worker: Worker) -> None:
        database = Database(self._settings.database_url, application="bonus-jobs", size=CONNECTIONS)
        self._database = database
        self._runner = JobRunner(database, kinds_of(database, self._opened, self._settings))

    def before_worker_shutdown(self, broker: Broker, worker: Worker) -> None:
        self.runner.stop()

    def after_worker_shutdown(self, broker: Broker, worker: Worker) -> None:
        if self._database is not None:
            async_to_sync(self._database.close)()
