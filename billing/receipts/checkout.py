"""What a basket means at one place and time: the programs that run, and what points may pay."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Sequence
from datetime import datetime
from functools import cached_property
from uuid import UUID

import msgspec
from msgspec.structs import replace

from billing.catalog.service import Catalog
from billing.common.auth import Principal
from billing.common.settings_values import Unverified
from billing.customers.directory import CustomerDirectory
from billing.customers.member import member_of
from billing.customers.model import Customer
from billing.customers.schemas import CustomerRef
from billing.programs import limits
from billing.programs.book import ProgramBook, Running
from billing.programs.calculation import Trace, calculate
from billing.programs.limits import NOTHING_USED, Used
from billing.programs.model import Award, Basket, ProgramVersion, Situation
from billing.programs.payment import Payable, pay, payable
from billing.receipts.basket import Place, basket_of, place_of
from billing.receipts.schemas import ReceiptIn
from ledger.commands import WAITING, Fact, Facts, Reading

STATUS = Reading(
    "billing.customers.status",
    """
SELECT n.customer_id, n.name, c.status
FROM unnest($1::uuid[], $2::text[]) AS n (customer_id, name)
JOIN billing.customers c ON c.id = n.customer_id
""",
)

FirstPurchase = Callable[[UUID], Awaitable[bool]]


class Deal(msgspec.Struct, frozen=True, dict=True):
    """A basket of a customer with all that bears on it. `programs` are those that may give
    something for these goods; all that run there and then are `running`. What it earns `waits`
    when the customer has to be verified first."""

    customer: Customer
    situation: Situation
    running: Running
    programs: Sequence[ProgramVersion]
    payable: Payable
    waits: bool = False

    @property
    def basket(self) -> Basket:
        return self.situation.basket

    @cached_property
    def is_counted(self) -> bool:
        """Whether what it earns depends on counters, which only the customer's lock holds still."""
        return any(map(limits.is_counted, self.programs))

    @property
    def status_fact(self) -> Fact:
        """Whether the customer is verified, as it is under the lock."""
        return Fact(STATUS, self.customer.id, "status")

    def known_by(self, facts: Facts) -> Deal:
        """The deal for who was verified meanwhile: nothing waits."""
        verified = facts.get(self.status_fact, ()) == [("verified",)]
        return replace(self, waits=False) if self.waits and verified else self

    @cached_property
    def counters(self) -> tuple[Fact, ...]:
        """The counters it depends on."""
        return limits.facts_of(self.programs, self.situation)

    @property
    def facts(self) -> tuple[Fact, ...]:
        """Its counters, and the customer's status where points may wait."""
        return (*self.counters, self.status_fact) if self.waits else self.counters

    def paid(self, points: int) -> list[int]:
        """What so many points pay of each line."""
        return pay(self.payable, self.basket, points)

    def awards(
        self, paid: Sequence[int], used: Used = NOTHING_USED, trace: Trace | None = None
    ) -> tuple[Award, ...]:
        """What it earns. With `trace` every program that runs is looked at, and says why."""
        programs = self.programs if trace is None else self.running
        awards = calculate(programs, self.situation, paid, used, trace)
        return tuple(map(self._waiting, awards)) if self.waits else awards

    def _waiting(self, award: Award) -> Award:
        """What would be available at once waits; what comes later has its own day anyway."""
        at = self.basket.occurred_at
        parts = [
            replace(part, available_from=WAITING)
            if part.available_from is None or part.available_from <= at
            else part
            for part in award.parts
        ]
        return replace(award, parts=tuple(parts))


class Checkout:
    """Makes deals of receipts."""

    def __init__(
        self,
        catalog: Catalog,
        book: ProgramBook,
        customers: CustomerDirectory,
        first_purchase: FirstPurchase,
        clock: Callable[[], datetime],
        *,
        timezone: str,
        tolerance: int,
        unverified: Unverified = "refuse",
    ) -> None:
        self._catalog = catalog
        self._book = book
        self._customers = customers
        self._first_purchase = first_purchase
        self._clock = clock
        self._timezone = timezone
        self._tolerance = tolerance
        self._unverified = unverified

    async def place(self, principal: Principal, channel: str | None, store: str | None) -> Place:
        """Where the request acts. Raises Forbidden, ValidationFailed."""
        return await place_of(principal, self._catalog, channel, store, self._timezone)

    async def basket(self, place: Place, receipt: ReceiptIn) -> Basket:
        """The receipt, checked. Raises ValidationFailed with every fault."""
        return await basket_of(self._catalog, place, receipt, self._clock(), self._tolerance)

    async def customer(self, ref: CustomerRef) -> Customer:
        """The customer named. Raises NotFound."""
        return await self._customers.require(ref)

    def may_collect(self, customer: Customer) -> bool:
        """Whether what the customer earns waits for the verification. Raises Conflict."""
        return customer.waits_when_collecting(self._unverified)

    def may_spend(self, customer: Customer) -> None:
        """Raise Conflict unless the customer may pay with points."""
        customer.must_be_active(self._unverified)

    async def republished(self, basket: Basket, moment: datetime) -> bool:
        """Whether programs of the basket's place were published or archived between its time and
        `moment`."""
        book = await self._book.current()
        place = (basket.channel, basket.store, basket.store_group)
        return book.republished(*place, basket.occurred_at, moment)

    async def deal(
        self,
        basket: Basket,
        customer: Customer,
        at: datetime | None = None,
        *,
        waits: bool = False,
    ) -> Deal:
        """What the basket means to the customer; `at`, when it is not when it occurred."""
        if at is not None:
            basket = replace(basket, occurred_at=at)
        book = await self._book.current()
        where = (basket.channel, basket.store, basket.store_group, basket.occurred_at)
        asked = book.asks_first_purchase(*where)
        first = await self._first_purchase(customer.id) if asked else None
        situation = Situation(basket, member_of(customer, first))
        running = book.accruals(*where)
        return Deal(
            customer,
            situation,
            running,
            running.for_goods(basket),
            payable(book.redemptions(*where), situation),
            waits,
        )
