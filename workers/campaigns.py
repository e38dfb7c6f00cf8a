"""Running campaigns, and counting what they would cost."""

from __future__ import annotations

from datetime import timedelta
from typing import Final

from dramatiq import Broker, Middleware, Worker
from dramatiq.asyncio import async_to_sync

from billing.campaigns.gifts import GiftMaker
from billing.campaigns.preview import Previewer
from billing.campaigns.runs import CHUNK_TIMEOUT_S, CampaignRunner
from billing.catalog.service import Catalog
from billing.common.db import Database
from billing.common.settings import Settings
from billing.programs.book import ProgramBook
from workers.ledger import OpenLedger

CONNECTIONS: Final = 4
"""A run at work holds one while its group is posted."""


class OpenCampaigns(Middleware):
    """A `CampaignRunner` while the worker runs. Stands behind OpenLedger in the broker's list."""

    def __init__(self, settings: Settings, opened: OpenLedger) -> None:
        self._settings = settings
        self._opened = opened
        self._database: Database | None = None
        self._runner: CampaignRunner | None = None

    @property
    def runner(self) -> CampaignRunner:
        if self._runner is None:
            raise RuntimeError("campaigns run in a running worker only")
        return self._runner

    def before_worker_boot(self, broker: Broker, worker: Worker) -> None:
        settings = self._settings
        database = Database(
            settings.database_url,
            application="bonus-campaigns",
            size=CONNECTIONS,
            idle_s=CHUNK_TIMEOUT_S + 20,
        )
        self._database = database
        self._runner = CampaignRunner(
            self._opened.ledger,
            database,
            gift_maker(database, settings),
            zone=settings.timezone,
            catch_up=timedelta(days=settings.campaign_catch_up_days),
        )

    def before_worker_shutdown(self, broker: Broker, worker: Worker) -> None:
        self.runner.stop()

    def after_worker_shutdown(self, broker: Broker, worker: Worker) -> None:
        if self._database is not None:
            async_to_sync(self._database.close)()


def gift_maker(database: Database, settings: Settings) -> GiftMaker:
    catalog = Catalog(database)
    return GiftMaker(database, catalog, ProgramBook(database, catalog), settings.timezone.key)


def previewer(database: Database, opened: OpenLedger, settings: Settings) -> Previewer:
    """What does the jobs of previews."""
    gifts = gift_maker(database, settings)
    return Previewer(database, gifts, opened.ledger.clock, settings.timezone)
