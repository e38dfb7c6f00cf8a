"""Paying with points: at once, or held first, then captured or released."""

from __future__ import annotations

from collections.abc import Callable
from datetime import datetime, timedelta
from typing import Literal
from uuid import UUID

import msgspec

from billing.catalog.service import Catalog
from billing.common.db import Database
from billing.common.errors import Conflict, NotFound, ValidationFailed
from billing.common.money import format_amount
from billing.common.teller import Request, answer_of, refuser
from billing.customers.model import Customer
from billing.programs.lines import by_group
from billing.programs.model import Basket
from billing.programs.obstacles import refusal
from billing.programs.payment import Payable, pay
from billing.receipts.basket import Place, timezone_of
from billing.receipts.checkout import Checkout
from billing.receipts.store import sale_source
from billing.redemptions import store
from billing.redemptions.document import Status, done_document, found_document, moved, own
from billing.redemptions.model import Held, held_of, kept_lines
from billing.redemptions.schemas import CaptureIn, PointsOrMax, RedemptionIn, RedemptionOut
from billing.verifications.redeeming import NO_DEMAND, Demand, RedemptionCodes
from ledger import reads
from ledger.commands import (
    MAX,
    Answer,
    Capture,
    Command,
    Completion,
    PlaceHold,
    Redeem,
    Release,
    Step,
)
from ledger.decide import Outcome
from ledger.errors import Refusal
from ledger.service import Ledger

_SOLD = (
    "The sale of this receipt is posted already: points pay it within the sale (`redeem`), or by a "
    "redemption before it."
)


class Paying(msgspec.Struct, frozen=True):
    """A redemption ready to be posted; `hold_expires_at` None: the points are spent at once."""

    request: Request
    customer: Customer
    place: Place
    number: str
    basket: Basket
    allowed: Payable
    points: int | Literal["max"]
    hold_expires_at: datetime | None
    demand: Demand

    @property
    def mode(self) -> Literal["hold", "capture"]:
        return "capture" if self.hold_expires_at is None else "hold"


class Redemptions:
    """Prepares redemptions as commands for the ledger, and reads them back."""

    def __init__(
        self,
        ledger: Ledger,
        database: Database,
        catalog: Catalog,
        checkout: Checkout,
        codes: RedemptionCodes,
        *,
        timezone: str,
        hold_seconds: int,
    ) -> None:
        self._ledger = ledger
        self._database = database
        self._catalog = catalog
        self._checkout = checkout
        self._codes = codes
        self._timezone = timezone
        self._hold_seconds = hold_seconds

    async def prepare(self, request: Request, body: RedemptionIn) -> Command:
        """The command of a redemption, or of a refusal. Raises Forbidden."""
        request.principal.bind(body.channel, body.store)
        try:
            return await self._prepare(request, body)
        except ValidationFailed as problem:
            return request.refusing("redemption", body.receipt.occurred_at, problem)

    async def _prepare(self, request: Request, body: RedemptionIn) -> Command:
        place = await self._checkout.place(request.principal, body.channel, body.store)
        basket = await self._checkout.basket(place, body.receipt)
        customer: Customer | None = None
        try:
            customer = await self._checkout.customer(body.customer)
            self._checkout.may_spend(customer)
            demand = await self._codes.demand(customer.id, body.verification_id)
        except (NotFound, Conflict) as problem:
            known = customer.id if customer else None
            return request.refusing("redemption", basket.occurred_at, problem, known)
        allowed = (await self._checkout.deal(basket, customer)).payable
        check_points(body.points, allowed)
        hold_expires_at = None
        if body.mode == "hold":
            seconds = body.hold_seconds or self._hold_seconds
            hold_expires_at = self._ledger.clock() + timedelta(seconds=seconds)
        number = str(body.receipt.number)
        points: int | Literal["max"] = MAX if body.points == PointsOrMax.MAX else int(body.points)
        return _command(
            Paying(
                request, customer, place, number, basket, allowed, points, hold_expires_at, demand
            )
        )

    async def capture(self, request: Request, redemption_id: UUID, body: CaptureIn) -> Command:
        """Spend a hold, or a part of it; the rest is released."""
        held = await self._held(request, redemption_id)
        if body.points == 0:
            raise ValidationFailed.at("/points", "must be more than zero; release gives all back")
        if body.points is not None and body.points > held.points:
            raise ValidationFailed.at(
                "/points", f"must not be more than is held, {format_amount(held.points)}"
            )
        step = Capture(held.id, body.points, lambda n: by_group(held.basket, held.pays(n)))
        return self._ending(request, held, "capture", step, "captured")

    async def release(self, request: Request, redemption_id: UUID) -> Command:
        """Give a hold back."""
        held = await self._held(request, redemption_id)
        return self._ending(request, held, "release", Release(held.id), "released")

    async def read(self, request: Request, redemption_id: UUID) -> RedemptionOut:
        """A redemption as it is now. Raises NotFound."""
        held = await self._held(request, redemption_id)
        transaction = await reads.transaction_by_id(self._ledger, redemption_id)
        state = await reads.balance_now(self._ledger, held.customer_id)
        if transaction is None:
            raise NotFound(f"There is no redemption {redemption_id}.")
        hold = None
        if held.mode == "hold":
            hold = await reads.hold_now(self._ledger, held.customer_id, held.id)
            if hold is None:
                raise RuntimeError(f"redemption {held.id} has no hold")
        return found_document(held, transaction, hold, state, self._ledger.clock())

    def _ending(
        self,
        request: Request,
        held: Held,
        kind: Literal["capture", "release"],
        step: Step,
        status: Status,
    ) -> Command:
        return Command(
            customer_id=held.customer_id,
            kind=kind,
            source=_source(held) if kind == "capture" else None,
            excludes=(_sale(held.place, held.number),) if kind == "capture" else (),
            occurred_at=self._ledger.clock(),
            steps=(step,),
            key=request.key,
            fingerprint=request.fingerprint(),
            channel=held.place.channel,
            store=held.place.store,
            author=request.principal.name,
            complete=lambda outcome: Completion(
                answer_of(200, done_document(held, outcome, status))
            ),
            refuse=_refuser(request),
        )

    async def _held(self, request: Request, redemption_id: UUID) -> Held:
        row = await store.read_redemption(self._database, redemption_id)
        if row is None:
            raise NotFound(f"There is no redemption {redemption_id}.")
        request.principal.covers(row["channel"], row["store"])
        snapshot = self._catalog.current()
        known = snapshot.stores.get(row["store"] or "")
        timezone = timezone_of(snapshot, row["store"], self._timezone)
        place = Place(row["channel"], row["store"], known.group if known else None, timezone)
        return held_of(row, place)


def check_points(points: int, allowed: Payable, pointer: str = "/points") -> None:
    """Raise ValidationFailed unless the rules let `points` pay; `PointsOrMax.MAX` is fewer."""
    if points == 0:
        raise ValidationFailed.at(pointer, "must be more than zero")
    if points > allowed.total or allowed.total == 0:
        raise ValidationFailed.at(pointer, refusal(allowed))


def _source(held: Held) -> str:
    """Captured points are redeemed points: once per store and receipt number, too."""
    return store.redemption_source(held.place.channel, held.place.store, held.number)


def _sale(place: Place, number: str) -> str:
    """The sale that would not know of points spent after it, and has earned for all its money."""
    return sale_source(place.channel, place.store, number)


def _refuser(request: Request, demand: Demand = NO_DEMAND) -> Callable[[Refusal], Answer]:
    tell = refuser(request.request_id)

    def refuse(refusal: Refusal) -> Answer:
        source = str(refusal.members.get("source", ""))
        if refusal.code == "source_exists" and source in demand.claims:
            refusal = demand.used()
        elif refusal.code == "source_exists" and source.startswith("sale/"):
            posted = refusal.members["transaction_id"]
            refusal = Refusal("receipt_exists", _SOLD, transaction_id=posted)
        return tell(refusal)

    return refuse


def _command(paying: Paying) -> Command:
    place, request = paying.place, paying.request
    at_once = paying.mode == "capture"
    source = store.redemption_source(place.channel, place.store, paying.number)
    return Command(
        customer_id=paying.customer.id,
        kind="redemption" if at_once else "hold",
        occurred_at=paying.basket.occurred_at,
        steps=(_step(paying),),
        key=request.key,
        fingerprint=request.fingerprint(),
        source=source if at_once else None,
        claims=paying.demand.claims,
        excludes=(_sale(place, paying.number),) if at_once else (),
        channel=place.channel,
        store=place.store,
        author=request.principal.name,
        complete=lambda outcome: _complete(paying, outcome),
        refuse=_refuser(request, paying.demand),
    )


def _step(paying: Paying) -> Step:
    allowed = paying.allowed
    if paying.hold_expires_at is not None:
        return PlaceHold(paying.points, paying.hold_expires_at, allowed.total, allowed.order)
    return Redeem(
        paying.points,
        allowed.total,
        lambda n: by_group(paying.basket, pay(allowed, paying.basket, n)),
        allowed.order,
    )


def _complete(paying: Paying, outcome: Outcome) -> Completion:
    transaction, place = own(outcome), paying.place
    amount = moved(transaction)
    if amount == 0:
        raise Refusal("insufficient_points", "There are no points to redeem.", available=0)
    paying.demand.check(amount)
    held = Held(
        transaction.id,
        transaction.customer_id,
        place,
        paying.number,
        paying.mode,
        amount,
        paying.basket,
        paying.allowed.by_line,
    )
    row = store.redemption_row(
        held.id,
        held.customer_id,
        place.channel,
        place.store,
        held.number,
        held.mode,
        amount,
        paying.hold_expires_at,
        paying.basket.occurred_at,
        outcome.recorded_at,
        kept_lines(paying.basket.lines, paying.allowed),
    )
    status: Status = "held" if paying.hold_expires_at else "captured"
    return Completion(answer_of(201, done_document(held, outcome, status)), (row,))
