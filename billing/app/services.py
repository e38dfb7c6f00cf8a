"""Everything that runs inside one API process, built in one place."""

from __future__ import annotations

from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from dataclasses import dataclass, fields
from datetime import timedelta
from functools import partial
from typing import Any
from zoneinfo import ZoneInfo

from billing.adjustments.approval import AdjustmentApprovals
from billing.adjustments.service import Adjustments
from billing.app.sampling import Sampler
from billing.app.working import make_work
from billing.approvals.allowance import Allowance
from billing.approvals.service import Approvals
from billing.audits.reading import AuditReader
from billing.audits.sampling import AuditSampler
from billing.batches.service import Batches
from billing.campaigns.foureyes import CampaignApprovals
from billing.campaigns.service import Campaigns
from billing.campaigns.upload import Lists
from billing.catalog.service import Catalog
from billing.common.collector import spare_the_collector
from billing.common.db import Database
from billing.common.metrics import Metrics
from billing.common.settings import Settings
from billing.consents.service import Consents
from billing.customers.cards import Cards
from billing.customers.directory import CustomerDirectory
from billing.customers.search import NameSearch
from billing.customers.secret import SecretGuard, SecretKeyChanged
from billing.customers.service import Customers
from billing.customers.vault import Vault
from billing.health.service import Health
from billing.imports.service import Imports
from billing.jobs.service import Jobs
from billing.keys.service import ApiKeys
from billing.merges.service import Merges
from billing.messages.sealing import MessageVault
from billing.messages.service import Messages
from billing.messages.templates import Templates
from billing.operators.service import OperatorLog
from billing.periods.foureyes import PeriodApprovals
from billing.periods.service import Periods
from billing.persons.service import Persons
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
from billing.transfers.service import Transfers
from billing.verifications.model import Rules
from billing.verifications.redeeming import RedemptionCodes
from billing.verifications.service import Verifications
from billing.work.sampling import WorkSampler
from billing.work.service import Work
from integrations.sms.fleet import Fleet, fleet_of
from integrations.sms.gateway import gateways_of
from integrations.sms.service import SmsProviders
from integrations.sms.vault import SmsVault
from integrations.sms.webhooks import Intake
from integrations.webhooks.guard import guard_of
from integrations.webhooks.service import Webhooks
from integrations.webhooks.signing import Seals
from ledger.group import Clock
from ledger.service import Ledger, utc_now
from migrations.revisions import revisions
from workers.names import HEAR_MESSAGES, RUN_CAMPAIGNS, RUN_JOBS
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
    cards: Cards
    names: NameSearch
    consents: Consents
    verifications: Verifications
    merges: Merges
    persons: Persons
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
    adjustment_approvals: AdjustmentApprovals
    transfers: Transfers
    approvals: Approvals
    imports: Imports
    operators: OperatorLog
    batches: Batches
    waker: Waker
    jobs: Jobs
    simulations: Simulations
    campaigns: Campaigns
    lists: Lists
    events: Events
    webhooks: Webhooks
    messages: Messages
    templates: Templates
    fleet: Fleet
    sms_providers: SmsProviders
    intake: Intake
    waiting_scenarios: WaitingScenarios
    work: Work
    work_sampler: WorkSampler
    audits: AuditReader
    audit_sampler: AuditSampler
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
        await self.audit_sampler.start()
        try:
            yield
        finally:
            await self.ledger.close()
            await self.audit_sampler.stop()
            await self.work_sampler.stop()
            await self.work.close()
            await self.sampler.stop()
            await self.catalog.stop()
            await self.guard.stop()
            await self.health.close()
            await self.waker.close()
            await self.fleet.close()
            await self.database.close()


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
        unverified=settings.unverified,
    )
    codes = RedemptionCodes(database, settings.redemption_code_from, clock=clock)
    quotes = Quotes(ledger, checkout, Promises(settings.secret_key))
    timezone = settings.timezone.key
    sales = Sales(
        ledger,
        database,
        catalog,
        checkout,
        quotes.quoted,
        codes,
        timezone=timezone,
        most_stated=settings.adjustment_approval_points,
    )
    redemptions = Redemptions(
        ledger,
        database,
        catalog,
        checkout,
        codes,
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
    allowance = Allowance(database, clock, settings.person_approval_points)
    adjustments = Adjustments(
        ledger, directory, allowance, settings.timezone, settings.adjustment_approval_points
    )
    approvals = Approvals(database, clock)
    adjustment_approvals = AdjustmentApprovals(ledger, adjustments, approvals)
    transfers = Transfers(
        ledger,
        directory,
        approvals,
        allowance,
        settings.timezone,
        settings.transfer_approval_points,
    )
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
    region = settings.default_region
    customers = Customers(database, vault, catalog, region, clock=clock, ledger=ledger)
    consents = Consents(database, vault, catalog, region, clock=clock)
    merges = Merges(ledger, database, vault, allowance, settings.merge_approval_points)
    rules = Rules.of(settings)
    messages = Messages(database, MessageVault(settings.secret_key, vault), clock=clock)
    sms_vault, fleet = SmsVault(settings.secret_key), fleet_of(settings)
    audits = AuditReader(database)
    imports = Imports(
        database,
        directory,
        jobs,
        clock,
        allowance,
        zone=settings.timezone,
        limit=settings.adjustment_approval_points,
    )
    for kind in (
        adjustment_approvals, transfers, CampaignApprovals(campaigns), imports,
        PeriodApprovals(periods), merges,
    ):  # fmt: skip
        approvals.register(kind)
    return Services(
        settings=settings,
        database=database,
        metrics=metrics,
        sampler=Sampler(metrics, ledger),
        keys=ApiKeys(database),
        catalog=catalog,
        customers=customers,
        cards=Cards(database, vault, customers, clock=clock),
        names=NameSearch(database, vault),
        consents=consents,
        verifications=Verifications(
            database,
            vault,
            catalog,
            messages,
            rules,
            region,
            gateways=gateways_of(database, fleet),
            clock=clock,
        ),
        merges=merges,
        persons=Persons(ledger, database, vault, consents, merges, messages, settings.timezone),
        directory=directory,
        health=Health(database, settings.redis_url, revisions(), vault),
        guard=SecretGuard(database, vault),
        ledger=ledger,
        programs=Programs(database, catalog),
        sales=sales,
        quotes=quotes,
        redemptions=redemptions,
        returns=returns,
        adjustments=adjustments,
        adjustment_approvals=adjustment_approvals,
        transfers=transfers,
        approvals=approvals,
        imports=imports,
        operators=OperatorLog(database, clock),
        batches=Batches(ledger, catalog, directory, sales, redemptions, returns, adjustments),
        webhooks=Webhooks(database, Seals(settings.secret_key), guard_of(settings), clock=clock),
        events=Events(
            ledger, catalog, book, directory, timezone=timezone, unverified=settings.unverified
        ),
        messages=messages,
        templates=Templates(database, clock=clock),
        fleet=fleet,
        sms_providers=SmsProviders(database, sms_vault, fleet, messages, region, clock=clock),
        intake=Intake(database, fleet, sms_vault, partial(waker.wake, HEAR_MESSAGES), clock=clock),
        waiting_scenarios=WaitingScenarios(ledger, database, catalog, book, timezone=timezone),
        waker=waker,
        jobs=jobs,
        simulations=Simulations(database, catalog, jobs),
        campaigns=campaigns,
        lists=Lists(campaigns, directory),
        work=work,
        work_sampler=WorkSampler(metrics, work),
        audits=audits,
        audit_sampler=AuditSampler(metrics, audits, clock),
        periods=periods,
        revenue=Revenue(database, ledger, periods, settings.timezone),
        zone=settings.timezone,
    )
