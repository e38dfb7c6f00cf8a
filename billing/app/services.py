"""Everything that runs inside one API process, built in one place."""

from __future__ import annotations

import gc
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from dataclasses import dataclass, fields
from datetime import timedelta
from functools import partial
from pathlib import Path
from typing import Any
from zoneinfo import ZoneInfo

from alembic.script import ScriptDirectory

import migrations
from billing.adjustments.service import Adjustments
from billing.app.sampling import Sampler
from billing.app.working import make_work
from billing.batches.service import Batches
from billing.campaigns.service import Campaigns
from billing.campaigns.upload import Lists
from billing.catalog.service import Catalog
from billing.common.db import Database
from billing.common.metrics import Metrics
from billing.common.settings import Settings
from billing.customers.directory import CustomerDirectory
from billing.customers.secret import SecretGuard, SecretKeyChanged
from billing.customers.service import Customers
from billing.customers.vault import Vault
from billing.health.service import Health
from billing.jobs.service import Jobs
from billing.keys.service import ApiKeys
from billing.periods.service import Periods
from billing.programs.book import ProgramBook
from billing.programs.service import Programs
from billing.quotes.promise import Promises
from billing.quotes.service import Quotes
from billing.receipts.checkout import Checkout
from billing.receipts.service import Sales
from billing.redemptions.service import Redemptions
from billing.returns.service import Returns
from billing.revenue.service import Revenue
from billing.scenarios.service import Events
from billing.scenarios.store import FirstPurchases
from billing.scenarios.waiting import WaitingScenarios
from billing.simulations.service import Simulations
from billing.work.sampling import WorkSampler
from billing.work.service import Work
from integrations.webhooks.guard import guard_of
from integrations.webhooks.service import Webhooks
from integrations.webhooks.signing import Seals
from ledger.group import Clock
from ledger.service import Ledger, utc_now
from workers.actors import RUN_CAMPAIGNS, RUN_JOBS
from workers.waking import Waker


@dataclass(frozen=True)
class Services:
    """The services by name; operations find them by class (`Call.use`)."""

    settings: Settings
    database: Database
    metrics: Metrics
    sampler: Sampler
    keys: ApiKeys
    catalog: Catalog
    customers: Customers
    directory: CustomerDirectory
    health: Health
    guard: SecretGuard
    ledger: Ledger
    programs: Programs
    sales: Sales
    quotes: Quotes
    redemptions: Redemptions
    returns: Returns
    adjustments: Adjustments
    batches: Batches
    waker: Waker
    jobs: Jobs
    simulations: Simulations
    campaigns: Campaigns
    lists: Lists
    events: Events
    webhooks: Webhooks
    waiting_scenarios: WaitingScenarios
    work: Work
    work_sampler: WorkSampler
    periods: Periods
    revenue: Revenue
    zone: ZoneInfo

    def by_class(self) -> Mapping[type, Any]:
        """The services as `Call.use` looks them up."""
        values = (getattr(self, field.name) for field in fields(self))
        return {type(value): value for value in values}

    @asynccontextmanager
    async def running(self) -> AsyncIterator[None]:
        """Started on entering, stopped on leaving. Starts with the database away, too.

        Raises SecretKeyChanged.
        """
        spare_the_collector()
        try:
            await self.guard.start()
        except SecretKeyChanged:
            await self.database.close()
            raise
        await self.catalog.start()
        await self.ledger.start()
        await self.sampler.start()
        await self.work_sampler.start()
        try:
            yield
        finally:
            await self.ledger.close()
            await self.work_sampler.stop()
            await self.work.close()
            await self.sampler.stop()
            await self.catalog.stop()
            await self.guard.stop()
            await self.health.close()
            await self.waker.close()
            await self.database.close()


def spare_the_collector() -> None:
    """Let Python's cycle collector look at long-lived objects rarely.

    A request makes thousands of objects and hardly a cycle; by default the collector took a
    quarter of the process's time. A batch of a thousand has some 100,000 alive at once: looking
    at them took a tenth of its time, and found nothing.
    """
    gc.collect()
    gc.freeze()
    gc.set_threshold(200_000, 20, 100)


def build_services(settings: Settings, clock: Clock = utc_now) -> Services:
    """Wire the services together; nothing is connected yet."""
    database = Database(settings.database_url)
    vault = Vault(settings.secret_key, key="not compared")
    catalog = Catalog(database)
    directory = CustomerDirectory(database, vault, settings.default_region)
    ledger = Ledger(
        settings.database_url,
        lanes=settings.lanes,
        capacity=settings.lane_capacity,
        group_size=settings.group_size,
        clock=clock,
    )
    book = ProgramBook(database, catalog)
    checkout = Checkout(
        catalog,
        book,
        directory,
        FirstPurchases(database).would_be,
        clock,
        timezone=settings.timezone.key,
        tolerance=settings.line_tolerance,
    )
    quotes = Quotes(ledger, checkout, Promises(settings.secret_key))
    timezone = settings.timezone.key
    sales = Sales(ledger, database, catalog, checkout, quotes.quoted, timezone=timezone)
    redemptions = Redemptions(
        ledger,
        database,
        catalog,
        checkout,
        timezone=timezone,
        hold_seconds=settings.default_hold_seconds,
    )
    returns = Returns(
        ledger,
        database,
        catalog,
        book,
        directory,
        timezone=timezone,
        grace=settings.return_grace,
    )
    adjustments = Adjustments(ledger, directory, settings.timezone)
    periods = Periods(database, ledger, settings.timezone)
    metrics = Metrics()
    work = make_work(settings, database, clock)
    waker = Waker(settings.redis_url)
    jobs = Jobs(database, partial(waker.wake, RUN_JOBS))
    campaigns = Campaigns(
        database,
        catalog,
        jobs,
        clock,
        partial(waker.wake, RUN_CAMPAIGNS),
        zone=settings.timezone,
        approval_points=settings.campaign_approval_points,
        catch_up=timedelta(days=settings.campaign_catch_up_days),
    )
    return Services(
        settings=settings,
        database=database,
        metrics=metrics,
        sampler=Sampler(metrics, ledger),
        keys=ApiKeys(database),
        catalog=catalog,
        customers=Customers(database, vault, catalog, settings.default_region, clock=clock),
        directory=directory,
        health=Health(database, settings.redis_url, _revisions(), vault),
        guard=SecretGuard(database, vault),
        ledger=ledger,
        programs=Programs(database, catalog),
        sales=sales,
        quotes=quotes,
        redemptions=redemptions,
        returns=returns,
        adjustments=adjustments,
        batches=Batches(ledger, catalog, directory, sales, redemptions, returns, adjustments),
        webhooks=Webhooks(database, Seals(settings.secret_key), guard_of(settings), clock=clock),
        events=Events(ledger, catalog, book, directory, timezone=timezone),
        waiting_scenarios=WaitingScenarios(ledger, database, catalog, book, timezone=timezone),
        waker=waker,
        jobs=jobs,
        simulations=Simulations(database, catalog, jobs),
        campaigns=campaigns,
        lists=Lists(campaigns, directory),
        work=work,
        work_sampler=WorkSampler(metrics, work),
        periods=periods,
        revenue=Revenue(database, ledger, periods, settings.timezone),
        zone=settings.timezone,
    )


def _revisions() -> list[str]:
    """The migrations of this code, oldest first."""
    folder = Path(str(migrations.__file__)).parent
    script = ScriptDirectory(str(folder))
    return [revision.revision for revision in script.walk_revisions()][::-1]
