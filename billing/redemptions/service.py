"""Paying with points: at once, or held first, then captured or released."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime, timedelta
from typing import Any, Literal
from uuid import UUID
from zoneinfo import ZoneInfo

import asyncpg
import msgspec

from billing.balances.model import balance_document
from billing.catalog.service import Catalog
from billing.common.db import Database
from billing.common.errors import Conflict, NotFound, ValidationFailed
from billing.common.money import format_amount
from billing.common.teller import Request, answer_of, refuser
from billing.common.wire import encode
from billing.customers.directory import CustomerDirectory
from billing.customers.model import Customer
from billing.programs.calculation import by_group, pay_with_points, payable
from billing.programs.model import Basket, Line
from billing.receipts.basket import Place, basket_of, place_of, timezone_of
from billing.redemptions import store
from billing.redemptions.schemas import (
    CaptureIn,
    PaidLineOut,
    PartOut,
    PointsOrMax,
    RedemptionIn,
    RedemptionOut,
)
from ledger import reads
from ledger.commands import Capture, Command, Completion, PlaceHold, Redeem, Release, Step
from ledger.decide import Outcome
from ledger.errors import Refusal
from ledger.model import Posting, Transaction
from ledger.service import Ledger

Status = Literal["held", "captured", "released", "expired"]


class Held(msgspec.Struct, frozen=True):
    """A stored redemption: its place and the basket it pays."""

    id: UUID
    customer_id: UUID
    place: Place
    number: str
    mode: str
    points: int
    basket: Basket


class Redemptions:
    """Prepares redemptions as commands for the ledger, and reads them back."""

    def __init__(
        self,
        ledger: Ledger,
        database: Database,
        catalog: Catalog,
        customers: CustomerDirectory,
        *,
        timezone: str,
        tolerance: int,
        hold_seconds: int,
    ) -> None:
        self._ledger = ledger
        self._database = database
        self._catalog = catalog
        self._customers = customers
        self._timezone = timezone
        self._tolerance = tolerance
        self._hold_seconds = hold_seconds

    async def prepare(self, request: Request, body: RedemptionIn) -> Command:
        """The command of a redemption, or of a refusal. Raises Forbidden."""
        request.principal.bind(body.channel, body.store)
        try:
            return await self._prepare(request, body)
        except ValidationFailed as problem:
            return request.refusing("redemption", body.receipt.occurred_at, problem)

    async def _prepare(self, request: Request, body: RedemptionIn) -> Command:
        place = await place_of(
            request.principal, self._catalog, body.channel, body.store, self._timezone
        )
        now = self._ledger.clock()
        basket = await basket_of(self._catalog, place, body.receipt, now, self._tolerance)
        at_most = payable(basket)
        if body.points > at_most:
            raise ValidationFailed.at(
                "/points", f"points may pay at most {format_amount(at_most)} of this receipt"
            )
        customer: Customer | None = None
        try:
            customer = await self._customers.require(body.customer)
            customer.must_be_active()
        except (NotFound, Conflict) as problem:
            known = customer.id if customer else None
            return request.refusing("redemption", basket.occurred_at, problem, known)
        points: int | Literal["max"] = "max" if body.points == PointsOrMax.MAX else int(body.points)
        step: Step
        hold_expires_at = None
        if body.mode == "hold":
            hold_expires_at = now + timedelta(seconds=body.hold_seconds or self._hold_seconds)
            step = PlaceHold(points, hold_expires_at, at_most)
        else:
            step = Redeem(points, at_most, lambda n: by_group(basket, pay_with_points(basket, n)))
        number = body.receipt.number
        source = store.redemption_source(place.channel, place.store, number)

        def complete(outcome: Outcome) -> Completion:
            transaction = _own(outcome)
            amount = _moved(transaction)
            if amount == 0:
                raise Refusal("insufficient_points", "There are no points to redeem.", available=0)
            row = store.redemption_row(
                transaction.id,
                transaction.customer_id,
                place.channel,
                place.store,
                number,
                body.mode,
                amount,
                hold_expires_at,
                basket.occurred_at,
                outcome.recorded_at,
                _lines_json(basket.lines),
            )
            held = Held(
                transaction.id, transaction.customer_id, place, number, body.mode, amount, basket
            )
            status: Status = "held" if body.mode == "hold" else "captured"
            return Completion(answer_of(201, _document(held, outcome, status)), (row,))

        return Command(
            customer_id=customer.id,
            kind="hold" if body.mode == "hold" else "redemption",
            occurred_at=basket.occurred_at,
            steps=(step,),
            key=request.key,
            fingerprint=request.fingerprint(),
            source=source if body.mode == "capture" else None,
            channel=place.channel,
            store=place.store,
            author=request.principal.name,
            complete=complete,
            refuse=refuser(request.request_id),
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
        basket = held.basket
        step = Capture(held.id, body.points, lambda n: by_group(basket, pay_with_points(basket, n)))
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
        status: Status = "captured"
        hold = None
        if held.mode == "hold":
            hold = await reads.hold_now(self._ledger, held.customer_id, held.id)
            if hold is None:
                raise RuntimeError(f"redemption {held.id} has no hold")
            status = "held" if hold.status == "open" else hold.status
        amount = hold.captured if hold and status == "captured" else held.points
        spends = status in ("held", "captured")
        paid = pay_with_points(held.basket, amount if spends else 0)
        zone = ZoneInfo(held.place.timezone)
        return RedemptionOut(
            id=held.id,
            customer_id=held.customer_id,
            receipt_number=held.number,
            status=status,
            points=format_amount(amount),
            parts=_parts(transaction.postings, zone, amount),
            lines=_lines(held.basket, paid),
            hold_expires_at=hold.expires_at.astimezone(zone) if hold else None,
            balance=balance_document(state, at=self._ledger.clock(), zone=zone, complete=True),
        )

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
            occurred_at=self._ledger.clock(),
            steps=(step,),
            key=request.key,
            fingerprint=request.fingerprint(),
            channel=held.place.channel,
            store=held.place.store,
            author=request.principal.name,
            complete=lambda outcome: Completion(answer_of(200, _document(held, outcome, status))),
            refuse=refuser(request.request_id),
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
        return Held(
            row["id"],
            row["customer_id"],
            place,
            row["number"],
            row["mode"],
            row["points"],
            _stored_basket(row, place),
        )


def _source(held: Held) -> str:
    """Captured points are redeemed points: once per store and receipt number, too."""
    return store.redemption_source(held.place.channel, held.place.store, held.number)


def _own(outcome: Outcome) -> Transaction:
    if outcome.transaction is None:
        raise RuntimeError("a redemption is a transaction")
    return outcome.transaction


def _moved(transaction: Transaction) -> int:
    """What a transaction holds or spends."""
    return sum(p.amount for p in transaction.postings if p.kind in ("redeem", "hold", "capture"))


def _document(held: Held, outcome: Outcome, status: Status) -> RedemptionOut:
    transaction = _own(outcome)
    amount = held.points if status == "released" else _moved(transaction)
    paid = [0] * len(held.basket.lines)
    if status != "released":
        paid = pay_with_points(held.basket, amount)
    zone = ZoneInfo(held.place.timezone)
    return RedemptionOut(
        id=held.id,
        customer_id=held.customer_id,
        receipt_number=held.number,
        status=status,
        points=format_amount(amount),
        parts=_parts(transaction.postings, zone),
        lines=_lines(held.basket, paid),
        hold_expires_at=outcome.hold.expires_at.astimezone(zone) if outcome.hold else None,
        balance=balance_document(outcome.state, at=outcome.recorded_at, zone=zone, complete=True),
    )


def _parts(postings: Sequence[Posting], zone: ZoneInfo, amount: int | None = None) -> list[PartOut]:
    """From which lots: the spent ones of a capture, else the held or released ones.

    `amount` is how much of a hold was captured: its first parts, in burn order.
    """
    spent = [p for p in postings if p.kind in ("redeem", "capture")] or list(postings)
    rest = sum(p.amount for p in spent) if amount is None else amount
    sums: dict[UUID, int] = {}
    for posting in spent:
        part = min(posting.amount, rest)
        rest -= part
        if part:
            sums[posting.lot_id] = sums.get(posting.lot_id, 0) + part
    terms = {posting.lot_id: posting for posting in spent}
    return [
        PartOut(
            lot,
            terms[lot].bucket,
            format_amount(points),
            _local(terms[lot].expires_at, zone),
        )
        for lot, points in sums.items()
    ]


def _local(moment: datetime | None, zone: ZoneInfo) -> datetime | None:
    return moment.astimezone(zone) if moment else None


def _lines(basket: Basket, paid: Sequence[int]) -> list[PaidLineOut]:
    return [
        PaidLineOut(line.number, format_amount(points))
        for line, points in zip(basket.lines, paid, strict=True)
    ]


def _lines_json(lines: Sequence[Line]) -> str:
    return encode(
        [[n.number, n.sku, n.group, n.amount, n.promo, n.excluded] for n in lines]
    ).decode()


def _stored_basket(row: asyncpg.Record, place: Place) -> Basket:
    stored: list[list[Any]] = msgspec.json.decode(row["lines"])
    lines = tuple(
        Line(number, sku, group, (group,), amount, promo, excluded)
        for number, sku, group, amount, promo, excluded in stored
    )
    return Basket(
        place.channel, place.store, place.store_group, place.timezone, row["occurred_at"], lines
    )
