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
from ledger.commands import Fact

FirstPurchase = Callable[[UUID], Awaitable[bool]]


class Deal(msgspec.Struct, frozen=True, dict=True):
    """A basket of a customer with all that bears on it. `programs` are those that may give
    something for these goods; all that run there and then are `running`."""

    customer: Customer
    situation: Situation
    running: Running
    programs: Sequence[ProgramVersion]
    payable: Payable

    @property
    def basket(self) -> Basket:
        return self.situation.basket

    @cached_property
    def is_counted(self) -> bool:
        """Whether what it earns depends on counters, which only the customer's lock holds still."""
        return any(map(limits.is_counted, self.programs))

    @cached_property
    def facts(self) -> tuple[Fact, ...]:
        """The counters it depends on."""
        return limits.facts_of(self.programs, self.situation)

    def paid(self, points: int) -> list[int]:
        """What so many points pay of each line."""
        return pay(self.payable, self.basket, points)

    def awards(
        self, paid: Sequence[int], used: Used = NOTHING_USED, trace: Trace | None = None
    ) -> tuple[Award, ...]:
        """What it earns. With `trace` every program that runs is looked at, and says why."""
        programs = self.programs if trace is None else self.running
        return calculate(programs, self.situation, paid, used, trace)


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
    ) -> None:
        self._catalog = catalog
        self._book = book
        self._customers = customers
        self._first_purchase = first_purchase
        self._clock = clock
        self._timezone = timezone
        self._tolerance = tolerance

    async def place(self, principal: Principal, channel: str | None, store: str | None) -> Place:
        """Where the request acts. Raises Forbidden, ValidationFailed."""
        return await place_of(principal, self._catalog, channel, store, self._timezone)

    async def basket(self, place: Place, receipt: ReceiptIn) -> Basket:
        """The receipt, checked. Raises ValidationFailed with every fault."""
        return await basket_of(self._catalog, place, receipt, self._clock(), self._tolerance)

    async def customer(self, ref: CustomerRef) -> Customer:
        """The customer named. Raises NotFound."""
        return await self._customers.require(ref)

    async def republished(self, basket: Basket, moment: datetime) -> bool:
        """Whether programs of the basket's place were published or archived between its time and
        `moment`."""
        book = await self._book.current()
        place = (basket.channel, basket.store, basket.store_group)
        return book.republished(*place, basket.occurred_at, moment)

    async def deal(self, basket: Basket, customer: Customer, at: datetime | None = None) -> Deal:
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
        )
