"""Events that happen by themselves: kept with what caused them, posted at once or by a sweep."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Sequence
from typing import Final
from uuid import UUID

import structlog
from sqlalchemy.ext.asyncio import AsyncConnection

from billing.catalog.service import Catalog
from billing.common import deadline
from billing.common.db import Database
from billing.common.errors import Overloaded, ValidationFailed
from billing.customers.directory import customers_by_id
from billing.customers.model import Customer
from billing.programs.book import Book, ProgramBook
from billing.receipts.basket import timezone_of
from billing.scenarios import store
from billing.scenarios.model import Spot, situation_of, source_of
from billing.scenarios.posting import NOTHING, Posting
from billing.scenarios.store import BY_VERIFYING, COLLECTED, Waiting
from ledger.commands import ActivateWaiting, Command
from ledger.errors import Refusal, Unavailable
from ledger.group import Result
from ledger.service import Ledger

SWEEP_TIMEOUT_S: Final = 120.0
_MARGIN_S: Final = 0.3
"""What an answer still needs, when the rest of its time went into posting."""

_AUTHOR: Final = "scenarios"

Fate = Result | BaseException
Run = Callable[[Sequence[Command]], Awaitable[list[Fate]]]

log = structlog.stdlib.get_logger(__name__)


class WaitingScenarios:
    """Posts what waits. Any number may do so side by side, and be killed: what was posted is
    known by its source, and a row that nobody crossed out is found by the next sweep."""

    def __init__(
        self,
        ledger: Ledger,
        database: Database,
        catalog: Catalog,
        book: ProgramBook,
        *,
        timezone: str,
    ) -> None:
        self._ledger = ledger
        self._database = database
        self._catalog = catalog
        self._book = book
        self._timezone = timezone

    async def hurry(self, customer_id: UUID) -> None:
        """Post now what waits for a customer, within what is left of the request's time.

        Never raises: the customer is registered, and the sweep does what was not done here.
        """
        ids = [store.waiting_id(customer_id, event) for event in (*BY_VERIFYING, COLLECTED)]
        patience = deadline.left() - _MARGIN_S
        try:
            async with asyncio.timeout(patience):
                async with self._database.transaction(timeout_s=patience) as tx:
                    await self._post(tx, await store.claim(tx, ids), self._run_now)
        except (Overloaded, TimeoutError) as error:
            log.info("scenarios_left_for_the_sweep", customer=str(customer_id), error=str(error))
        except Exception:
            log.exception("scenarios_not_posted", customer=str(customer_id))

    async def sweep(self, *, limit: int = 1000) -> int:
        """Post up to `limit` of what waits; how many rows are settled, or failed once more.

        Raises Overloaded when the database is away.
        """
        await self._catalog.refresh()
        async with self._database.transaction(timeout_s=SWEEP_TIMEOUT_S) as tx:
            return await self._post(tx, await store.claim_due(tx, limit), self._run_many)

    async def _post(self, tx: AsyncConnection, rows: Sequence[Waiting], run: Run) -> int:
        if not rows:
            return 0
        book = await self._book.current()
        customers = await customers_by_id(self._database, list({row.customer_id for row in rows}))
        done: list[UUID] = []
        failed: dict[UUID, str] = {}
        commands: dict[UUID, Command] = {}
        for row in rows:
            try:
                command = await self._command(row, customers[row.customer_id], book)
            except (ValidationFailed, KeyError, ValueError, TypeError) as error:
                failed[row.id] = repr(error)
                continue
            if command is None:
                done.append(row.id)
            else:
                commands[row.id] = command
        fates = await run(list(commands.values())) if commands else []
        for row_id, fate in zip(commands, fates, strict=True):
            if _is_settled(fate):
                done.append(row_id)
            elif not isinstance(fate, Unavailable):
                failed[row_id] = repr(fate)
        for row_id, why in failed.items():
            log.error("scenario_failed", row=str(row_id), error=why)
        await store.settle(tx, done, failed)
        return len(done) + len(failed)

    async def _command(self, row: Waiting, customer: Customer, book: Book) -> Command | None:
        """The command that posts `row`; None when no program waits for it."""
        if row.event == COLLECTED:
            return _activating(row)
        spot = await spot_of(
            self._catalog, row.details["channel"], row.details["store"], self._timezone
        )
        programs = book.scenarios(
            row.event, spot.channel, spot.store, spot.store_group, row.occurred_at
        )
        if not programs:
            return None
        situation = situation_of(row.event, "", customer, spot, row.occurred_at)
        source = source_of(row.event, "", customer.id)
        return Posting(programs, situation).command(source, _AUTHOR)

    async def _run_now(self, commands: Sequence[Command]) -> list[Fate]:
        return await asyncio.gather(
            *(self._ledger.execute(command, deadline.left()) for command in commands),
            return_exceptions=True,
        )

    async def _run_many(self, commands: Sequence[Command]) -> list[Fate]:
        return await self._ledger.execute_many(commands, SWEEP_TIMEOUT_S / 2)


def _activating(row: Waiting) -> Command:
    return Command(
        customer_id=row.customer_id,
        kind="activation",
        occurred_at=row.occurred_at,
        steps=(ActivateWaiting(),),
        channel=row.details["channel"],
        store=row.details["store"],
        author=_AUTHOR,
    )


def _is_settled(fate: Fate) -> bool:
    """Whether it is posted, was posted before, or gives nothing."""
    if isinstance(fate, Refusal):
        return fate.code in (NOTHING, "nothing_waiting", "source_exists")
    return isinstance(fate, Result)


async def spot_of(
    catalog: Catalog, channel: str | None, store_code: str | None, timezone: str
) -> Spot:
    """The place of an event; `timezone` is the chain's. Raises ValidationFailed."""
    channel, store_code = await catalog.place(channel, store_code)
    snapshot = catalog.current()
    group = snapshot.stores[store_code].group if store_code is not None else None
    return Spot(channel, store_code, group, timezone_of(snapshot, store_code, timezone))
