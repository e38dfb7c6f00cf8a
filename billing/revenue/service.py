"""The journal of a month: calculated while the month is open, frozen once it is closed."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from datetime import datetime
from typing import Final
from zoneinfo import ZoneInfo

from billing.common.auth import Principal
from billing.common.db import Database
from billing.common.errors import Conflict
from billing.periods.model import Period
from billing.periods.service import Periods
from billing.revenue import store
from billing.revenue.model import (
    Cohort,
    Points,
    Policy,
    allocate,
    entries,
    movements,
    standing,
)
from billing.revenue.store import Journal, PolicyRow
from ledger.ids import uuid7
from ledger.service import Ledger
from ledger.sums import Snapshot, snapshot

NO_POLICY: Final = Policy(deferred=False)


class Book:
    """The policies there are, asked by program and month."""

    def __init__(self, rows: Sequence[PolicyRow]) -> None:
        self._rows = rows

    def policy(self, program: str, month: str) -> Policy:
        """A program's own, or that of all; the one of the latest month counts, and of one month
        the one made last. Without any, nothing is deferred."""
        own = self._latest(program, month)
        found = own if own is not None else self._latest(None, month)
        return found if found is not None else NO_POLICY

    def _latest(self, program: str | None, month: str) -> Policy | None:
        fitting = (
            row.policy
            for row in reversed(self._rows)
            if row.program == program and row.effective_from <= month
        )
        return next(fitting, None)


class Revenue:
    """Policies and journals."""

    def __init__(
        self, database: Database, ledger: Ledger, periods: Periods, zone: ZoneInfo
    ) -> None:
        self._database = database
        self._ledger = ledger
        self._periods = periods
        self._zone = zone

    async def policies(self) -> list[PolicyRow]:
        return await store.policies(self._database)

    async def put_policy(
        self,
        program: str | None,
        effective_from: str,
        policy: Policy,
        reason: str,
        principal: Principal,
    ) -> PolicyRow:
        """Make a policy count from a month on. Raises Conflict when that month is closed: what
        was posted stays, and a new estimate is caught up in the month it is made in."""
        period = Period.of(effective_from, self._zone, "/effective_from")
        if (await self._periods.bound()) >= period.ends:
            raise Conflict(
                "period_closed", f"{effective_from} is closed; let it count from a later month."
            )
        row = PolicyRow(
            uuid7(), program, effective_from, policy, reason, principal.key_id, principal.name,
            self._periods.now(),
        )  # fmt: skip
        async with self._database.transaction() as tx:
            await store.put_policy(tx, row)
        return row

    async def journal(self, name: str) -> tuple[Journal, bool]:
        """The journal of a month, and whether it is frozen. One that is not may still change."""
        view = await self._periods.read(name)
        frozen = await store.journal(self._database, name)
        closed = view.closed
        if frozen is not None and closed is not None and frozen.digest == closed.digest:
            return frozen, True
        digest = closed.digest if closed is not None else None
        return await self._calculate(view.period, frozen, digest), False

    async def freeze(self, name: str, principal: Principal) -> Journal:
        """The journal of a closed month, the same at every call; the next revision when the month
        was reopened and came to something else. Raises Conflict when it is not closed."""
        view = await self._periods.read(name)
        if view.closed is None:
            raise Conflict("period_not_closed", f"{name} is not closed; close it first.")
        made, frozen = await self.journal(name)
        if frozen:
            return made
        if not await store.put_journal(self._database, made, principal.name, self._periods.now()):
            made, _ = await self.journal(name)
        return made

    async def _calculate(
        self, period: Period, earlier: Journal | None, digest: str | None
    ) -> Journal:
        book = Book(await self.policies())
        allocated = await store.allocations(self._database, period.name)
        before = period.previous(self._zone)
        frozen = await store.journal(self._database, before.name)
        async with snapshot(self._ledger) as connection:
            # What was posted for the month before stands, whatever it would come to now.
            was = (
                frozen.cohorts
                if frozen is not None
                else await self._cohorts(connection, book, before.name, period.starts, allocated)
            )
            now = await self._cohorts(connection, book, period.name, period.ends, allocated)
        lines = movements(was, now)
        revision = 1 if earlier is None else earlier.revision + 1
        document = f"deferred-revenue/{period.name}/{revision}"
        accounts = {line.program: book.policy(line.program, period.name).accounts for line in lines}
        return Journal(
            period=period.name,
            revision=revision,
            document=document,
            replaces=earlier.document if earlier is not None else None,
            digest=digest,
            lines=lines,
            entries=entries(document, lines, accounts),
            cohorts=now,
        )

    async def _cohorts(
        self,
        connection: Snapshot,
        book: Book,
        month: str,
        until: datetime,
        frozen: Mapping[tuple[str, str], int],
    ) -> list[Cohort]:
        """Every cohort as it stands at the end of `month`, by that month's policies."""
        points = await store.points(connection, until, self._zone.key)
        points = {
            (program, of): found
            for (program, of), found in points.items()
            if book.policy(program, of).deferred
        }
        without = await self._without(connection, book, month)
        sales = await store.sales(connection, until, self._zone.key, without)
        allocated = _allocations(points, sales, book) | {
            key: amount for key, amount in frozen.items() if key in points
        }
        return [
            Cohort(
                program,
                of,
                found,
                standing(allocated[program, of], found, book.policy(program, month)),
            )
            for (program, of), found in sorted(points.items())
        ]

    async def _without(self, connection: Snapshot, book: Book, month: str) -> list[str]:
        """Programs whose points are not sold with the goods, such as gifts."""
        rows = await connection.fetch("SELECT code FROM billing.programs")
        return [row[0] for row in rows if not book.policy(row[0], month).deferred]


def _allocations(
    points: Mapping[tuple[str, str], Points], sales: Mapping[str, int], book: Book
) -> dict[tuple[str, str], int]:
    """What falls to each cohort of the sales of its month, all programs of a month together."""
    allocated: dict[tuple[str, str], int] = {}
    for month in {of for _, of in points}:
        issued = {program: one.issued for (program, of), one in points.items() if of == month}
        policies = {program: book.policy(program, month) for program in issued}
        for program, amount in allocate(sales.get(month, 0), issued, policies).items():
            allocated[program, month] = amount
    return allocated
