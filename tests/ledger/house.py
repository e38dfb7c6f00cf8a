"""Customers of a ledger under test, and ledgers as several processes would have them."""

from __future__ import annotations

from collections.abc import AsyncIterator, Sequence
from contextlib import AsyncExitStack, asynccontextmanager
from typing import Any, Literal, cast
from uuid import UUID, uuid4

import asyncpg

from ledger import commands as c
from ledger.audit import Report, audit
from ledger.closer import read_some
from ledger.decide import Outcome
from ledger.flows import Bucket, TransactionKind
from ledger.group import Result
from ledger.load import Connection
from ledger.model import Transaction
from ledger.reads import balance_as_of, balance_now
from ledger.service import Ledger
from ledger.state import CustomerState
from tests.conftest import TestDatabase
from tests.ledger.conftest import Clock

Points = int | Literal["max"]


class Customer:
    """One customer at the door of a ledger. Times are seconds of the test's clock."""

    def __init__(self, ledger: Ledger, clock: Clock, id_: UUID | None = None) -> None:
        self.ledger = ledger
        self.clock = clock
        self.id = id_ or uuid4()

    def at(self, ledger: Ledger) -> Customer:
        """The same customer at another process's ledger."""
        return Customer(ledger, self.clock, self.id)

    def command(
        self, kind: TransactionKind, *steps: c.Step, at: float | None = None, **more: Any
    ) -> c.Command:
        occurred_at = self.clock() if at is None else self.clock.at(at)
        return c.Command(
            customer_id=self.id, kind=kind, occurred_at=occurred_at, steps=steps, **more
        )

    async def result(self, command: c.Command) -> Result:
        return await self.ledger.execute(command)

    async def do(
        self, kind: TransactionKind, *steps: c.Step, at: float | None = None, **more: Any
    ) -> Transaction:
        return own((await self.result(self.command(kind, *steps, at=at, **more))).outcome)

    async def accrue(self, *grants: c.Grant, at: float | None = None, **more: Any) -> Transaction:
        return await self.do("accrual", c.Accrue(grants), at=at, **more)

    async def give(
        self,
        points: int,
        bucket: Bucket = "base",
        *,
        active: float | None = None,
        expires: float | None = None,
        at: float | None = None,
    ) -> Transaction:
        """One lot."""
        return await self.accrue(lot(points, bucket, active=active, expires=expires), at=at)

    async def redeem(self, points: Points, *, at: float | None = None, **more: Any) -> Transaction:
        return await self.do("redemption", c.Redeem(points), at=at, **more)

    async def hold(self, points: Points, seconds: float) -> UUID:
        until = self.clock.at(self.clock.seconds + seconds)
        return (await self.do("hold", c.PlaceHold(points, until))).id

    async def capture(self, hold: UUID, points: int | None = None) -> Transaction:
        return await self.do("capture", c.Capture(hold, points))

    async def release(self, hold: UUID) -> Transaction:
        return await self.do("release", c.Release(hold))

    async def restore(self, spent: Transaction, points: int | None = None) -> Transaction:
        return await self.do("restoration", c.Restore(spent.id, points))

    async def revoke(self, earned: Transaction, if_spent: c.IfSpent = "debt") -> Transaction:
        return await self.do("revocation", c.Revoke(earned.id, None, if_spent))

    async def reverse(self, done: Transaction, if_spent: c.IfSpent = "debt") -> Transaction:
        return await self.do("reversal", c.Reverse(done.id, if_spent))

    async def transfer(
        self, to: Customer, points: Points, *, at: float | None = None
    ) -> Transaction:
        return await self.do("transfer_out", c.Transfer(to.id, points), at=at)

    async def state(self) -> CustomerState:
        return await balance_now(self.ledger, self.id)

    async def available(self) -> int:
        return (await self.state()).available

    async def as_of(self, seconds: float, known: float | None = None) -> CustomerState:
        at = self.clock.at(seconds)
        known_at = self.clock() if known is None else self.clock.at(known)
        return await balance_as_of(self.ledger, self.id, at, known_at)

    async def history(self) -> list[Transaction]:
        async with self.ledger.pool.acquire() as connection:
            (found,) = await read_some(cast(Connection, connection), [self.id])
        return found.history

    async def left(self, *accruals: Transaction) -> list[int]:
        """What is available in the lots of `accruals`, in their order."""
        lots = (await self.state()).lots
        return [lots[id_].available if id_ in lots else 0 for id_ in _lots_of(accruals)]


def lot(
    points: int,
    bucket: Bucket = "base",
    *,
    active: float | None = None,
    expires: float | None = None,
) -> c.Grant:
    return c.Grant(
        bucket,
        ((None, points),),
        None if active is None else Clock.at(active),
        None if expires is None else Clock.at(expires),
    )


def own(outcome: Outcome | None) -> Transaction:
    assert outcome is not None
    assert outcome.transaction is not None
    return outcome.transaction


def moved(transaction: Transaction, kind: str) -> int:
    return sum(posting.amount for posting in transaction.postings if posting.kind == kind)


def taken(transaction: Transaction, *accruals: Transaction) -> list[int]:
    """How much of `transaction` went over the lots of `accruals`, in their order."""
    return [
        sum(p.amount for p in transaction.postings if p.lot_id == lot_id)
        for lot_id in _lots_of(accruals)
    ]


def _lots_of(accruals: Sequence[Transaction]) -> list[UUID]:
    return list(dict.fromkeys(p.lot_id for one in accruals for p in one.postings))


@asynccontextmanager
async def processes(
    database: TestDatabase, clock: Clock, count: int, **settings: Any
) -> AsyncIterator[Sequence[Ledger]]:
    """Ledgers on one database, with connections of their own, as processes would have them."""
    async with AsyncExitStack() as stack:
        yield [
            await stack.enter_async_context(Ledger(database.url, clock=clock, **settings))
            for _ in range(count)
        ]


async def audited(database: TestDatabase) -> Report:
    """The audit as its owner runs it, on two connections."""
    owner, beside = [await asyncpg.connect(database.owner_url) for _ in range(2)]
    try:
        await owner.execute("ANALYZE ledger.transactions")
        return await audit(owner, beside=[beside])
    finally:
        await owner.close()
        await beside.close()


async def assert_clean(database: TestDatabase) -> Report:
    report = await audited(database)
    assert report.findings == []
    return report
