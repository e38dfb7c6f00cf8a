"""What the days bring: notices of expiry, birthdays, points of merged customers, and forgetting
what is old."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Final

import dramatiq
from dramatiq import Broker, Middleware, Worker
from dramatiq.asyncio import async_to_sync

from billing.birthdays.service import PASS_TIMEOUT_S, Birthdays
from billing.catalog.service import Catalog
from billing.common.db import Database
from billing.common.settings import Settings
from billing.customers.search import NameSearch
from billing.customers.secret import recognise
from billing.customers.vault import Vault
from billing.merges.settling import Settling
from billing.notices.service import ExpiryNotices
from billing.programs.book import ProgramBook
from billing.verifications import limits
from billing.work import store as work
from ledger.rollups import roll_up
from workers.ledger import OpenLedger
from workers.names import (
    FORGET,
    GIVE_BIRTHDAYS,
    NAME_CUSTOMERS,
    ROLL_UP,
    SETTLE_MERGES,
    TELL_EXPIRING,
)

STEP: Final = 1000
FORGET_TIMEOUT_S: Final = 60.0
CONNECTIONS: Final = 3
SECOND: Final = 1000
MINUTE: Final = 60 * SECOND


class OpenUpkeep(Middleware):
    """What upkeep needs, while the worker runs. Stands behind OpenLedger in the broker's list."""

    def __init__(self, settings: Settings, opened: OpenLedger) -> None:
        self._settings = settings
        self._opened = opened
        self._database: Database | None = None

    def before_worker_boot(self, broker: Broker, worker: Worker) -> None:
        settings, ledger = self._settings, self._opened.ledger
        database = Database(
            settings.database_url,
            application="bonus-upkeep",
            size=CONNECTIONS,
            idle_s=round(PASS_TIMEOUT_S) + 20,
        )
        catalog = Catalog(database)
        book = ProgramBook(database, catalog)
        self._database = database
        self.notices = ExpiryNotices(
            database, settings.expiry_notice_days, settings.timezone, clock=ledger.clock
        )
        vault = Vault(settings.secret_key, key="not compared")
        self._vault = vault
        self.names = NameSearch(database, vault)
        self.merges = Settling(ledger, database, vault)
        self.birthdays = Birthdays(ledger, database, catalog, book, settings.timezone)

    def after_worker_shutdown(self, broker: Broker, worker: Worker) -> None:
        if self._database is not None:
            async_to_sync(self._database.close)()

    async def tell_expiring(self) -> int:
        """Notices of the days that are not done, for a while; how many were told."""
        told, go_on = 0, self._opened.a_while()
        while go_on():
            step = await self.notices.step(limit=STEP)
            if step is None:
                break
            told += step
        return told

    async def roll_up(self) -> int:
        """The sums of reports, until nothing is left to add."""
        added = 0
        while not self._opened.stopping:
            step = await roll_up(self._opened.ledger, self._settings.timezone)
            if not step:
                break
            added += step
        return added

    async def give_birthdays(self) -> int:
        """A pass over the birthdays; how many got points."""
        go_on = self._opened.a_while()
        return await self.birthdays.give(limit=STEP, stopping=lambda: not go_on())

    async def settle_merges(self) -> int:
        """Points that came to merged customers go to whom they were merged into."""
        found, handled = STEP, 0
        while found == STEP and not self._opened.stopping:
            found = await self.merges.sweep(limit=STEP)
            handled += found
        return handled

    async def name_customers(self) -> int:
        """Customers written before names could be searched are made findable."""
        if self._database is None or not await recognise(self._database, self._vault):
            return 0
        handled = 0
        while not self._opened.stopping and (found := await self.names.index()):
            handled += found
        return handled

    async def forget(self) -> None:
        """Drop old runs, counters of codes, and notices of what has long expired."""
        if self._database is None:
            raise RuntimeError("upkeep is done in a running worker only")
        await self.notices.forget()
        await work.forget(self._database, datetime.now(UTC))
        async with self._database.transaction(timeout_s=FORGET_TIMEOUT_S) as tx:
            await limits.forget(tx, datetime.now(UTC))


def declare_upkeep(broker: Broker, upkeep: OpenUpkeep) -> None:
    """Register the actors with the broker. Times are in milliseconds."""
    for name, function in (
        (ROLL_UP, upkeep.roll_up),
        (TELL_EXPIRING, upkeep.tell_expiring),
        (GIVE_BIRTHDAYS, upkeep.give_birthdays),
        (FORGET, upkeep.forget),
        (SETTLE_MERGES, upkeep.settle_merges),
        (NAME_CUSTOMERS, upkeep.name_customers),
    ):
        dramatiq.actor(
            broker=broker,
            actor_name=name,
            alone=True,
            max_retries=3,
            min_backoff=1 * SECOND,
            max_backoff=10 * SECOND,
            max_age=5 * MINUTE,
            time_limit=10 * MINUTE,
        )(function)
