"""Posting sales: redeem and earn in one transaction; and reading them back."""

from __future__ import annotations

from collections.abc import Sequence
from uuid import UUID
from zoneinfo import ZoneInfo

import asyncpg
import msgspec

from billing.balances.model import balance_document
from billing.catalog.service import Catalog
from billing.common.db import Database
from billing.common.errors import Conflict, NotFound, ValidationFailed
from billing.common.money import format_amount, split
from billing.common.teller import Request, answer_of, refuser
from billing.common.wire import encode
from billing.customers.directory import CustomerDirectory
from billing.customers.model import Customer
from billing.programs.calculation import by_group, calculate, pay_with_points, payable
from billing.programs.model import Award, Basket
from billing.programs.service import ProgramBook
from billing.receipts import store
from billing.receipts.basket import Place, basket_of, place_of, timezone_of
from billing.receipts.schemas import (
    AccrualIn,
    AccrualOut,
    LineAccrual,
    LineOut,
    PaymentIn,
    PointsIn,
    PostingOut,
    ReceiptIn,
    SaleIn,
    SaleOut,
    StatedIn,
    StoredReceipt,
)
from billing.receipts.slip import Language, slip_of
from billing.redemptions.store import read_redemption
from ledger import reads
from ledger.commands import Accrue, Capture, Command, Completion, Grant, Redeem, Share, Step
from ledger.decide import Outcome
from ledger.model import Transaction
from ledger.service import Ledger


class SaleRequest(Request, frozen=True):
    """A request that is answered with a slip: how it is to look."""

    language: Language = "en"
    columns: int = 32


class Payment(msgspec.Struct, frozen=True):
    """How many points pay a sale: from the balance, from an open hold, or already redeemed."""

    points: int = 0
    hold_id: UUID | None = None
    done: bool = False


class Sale(msgspec.Struct, frozen=True):
    """A sale ready to be posted: calculated, not yet known whether the points are there."""

    request: SaleRequest
    customer: Customer
    place: Place
    receipt: ReceiptIn
    basket: Basket
    paid: list[int]
    awards: tuple[Award, ...]
    stated: tuple[StatedIn, ...]
    payment: Payment


class Sales:
    """Prepares sales as commands for the ledger; `billing.common.teller` carries them out."""

    def __init__(
        self,
        ledger: Ledger,
        database: Database,
        catalog: Catalog,
        book: ProgramBook,
        customers: CustomerDirectory,
        *,
        timezone: str,
        tolerance: int,
    ) -> None:
        self._ledger = ledger
        self._database = database
        self._catalog = catalog
        self._book = book
        self._customers = customers
        self._timezone = timezone
        self._tolerance = tolerance

    async def prepare(self, request: SaleRequest, body: SaleIn | AccrualIn) -> Command:
        """The command of a sale, or of a refusal. Raises Forbidden."""
        request.principal.bind(body.channel, body.store)
        if isinstance(body, AccrualIn) and body.stated:
            request.principal.require("finance", "admin")
        try:
            return await self._prepare(request, body)
        except ValidationFailed as problem:
            return request.refusing("receipt", body.receipt.occurred_at, problem)

    async def _prepare(self, request: SaleRequest, body: SaleIn | AccrualIn) -> Command:
        place = await place_of(
            request.principal, self._catalog, body.channel, body.store, self._timezone
        )
        now = self._ledger.clock()
        basket = await basket_of(self._catalog, place, body.receipt, now, self._tolerance)
        redeem = body.redeem if isinstance(body, SaleIn) else None
        stated = tuple(body.stated or ()) if isinstance(body, AccrualIn) else ()
        customer: Customer | None = None
        try:
            customer = await self._customers.require(body.customer)
            customer.must_be_active()
            payment = await self._payment(request, redeem, customer, place, body.receipt)
        except (NotFound, Conflict) as problem:
            known = customer.id if customer else None
            return request.refusing("receipt", basket.occurred_at, problem, known)
        if payment.points > payable(basket):
            by_id = redeem is not None and redeem.redemption_id is not None
            raise ValidationFailed.at(
                "/redeem/redemption_id" if by_id else "/redeem/points",
                f"points may pay at most {format_amount(payable(basket))} of this receipt",
            )
        paid = pay_with_points(basket, payment.points)
        awards: tuple[Award, ...] = ()
        if not stated:
            awards = calculate(await self._book.running(basket.occurred_at), basket, paid)
        return _command(
            Sale(request, customer, place, body.receipt, basket, paid, awards, stated, payment)
        )

    async def _payment(
        self,
        request: Request,
        redeem: PointsIn | None,
        customer: Customer,
        place: Place,
        receipt: ReceiptIn,
    ) -> Payment:
        """What pays. Raises NotFound, Conflict, and Forbidden for another place's redemption."""
        if redeem is None:
            return Payment()
        if redeem.redemption_id is None:
            return Payment(int(redeem.points or 0))
        row = await read_redemption(self._database, redeem.redemption_id)
        if row is None or row["customer_id"] != customer.id:
            raise NotFound(f"This customer has no redemption {redeem.redemption_id}.")
        request.principal.covers(row["channel"], row["store"])
        hold = None
        if row["mode"] == "hold":
            hold = await reads.hold_now(self._ledger, customer.id, row["id"])
        if hold is not None and hold.status != "captured":
            return Payment(row["points"], row["id"])
        of_this = (row["channel"], row["store"], row["number"])
        if of_this != (place.channel, place.store, receipt.number):
            raise Conflict(
                "hold_not_open", f"The redemption paid another receipt, {row['number']}."
            )
        return Payment(hold.captured if hold else row["points"], done=True)

    async def read(self, place_code: str, number: str) -> StoredReceipt:
        """A posted sale, by store (or channel without stores) and receipt number."""
        transaction, row = await self._find(place_code, number)
        corrections = await reads.corrections_of(
            self._ledger, transaction.customer_id, transaction.id
        )
        postings = [
            PostingOut(
                one.id,
                posting.kind,
                posting.debit,
                posting.credit,
                format_amount(posting.amount),
                posting.lot_id,
                posting.bucket,
                posting.program,
                posting.program_version,
                posting.product_group,
            )
            for one in (transaction, *corrections)
            for posting in one.postings
        ]
        zone = ZoneInfo(timezone_of(self._catalog.current(), row["store"], self._timezone))
        return StoredReceipt(
            id=row["id"],
            customer_id=row["customer_id"],
            channel=row["channel"],
            store=row["store"],
            number=row["number"],
            occurred_at=row["occurred_at"].astimezone(zone),
            recorded_at=row["recorded_at"].astimezone(zone),
            total=format_amount(row["total"]),
            redeemed=format_amount(row["redeemed"]),
            accrued=format_amount(row["accrued"]),
            lines=msgspec.json.decode(row["lines"]),
            payments=msgspec.json.decode(row["payments"]),
            programs=msgspec.json.decode(row["programs"]),
            postings=postings,
            returns=[
                {
                    "transaction_id": one.id,
                    "kind": one.kind,
                    "occurred_at": one.occurred_at.astimezone(zone),
                }
                for one in corrections
            ],
        )

    async def _find(self, place_code: str, number: str) -> tuple[Transaction, asyncpg.Record]:
        sources = (
            store.sale_source("", place_code, number),
            store.sale_source(place_code, None, number),
        )
        for source in sources:
            transaction = await reads.transaction_by_source(self._ledger, source)
            row = transaction and await store.read_receipt(self._database, transaction.id)
            if transaction and row:
                return transaction, row
        raise NotFound(f"No receipt {number!r} of {place_code!r} is posted.")


def _command(sale: Sale) -> Command:
    basket, place = sale.basket, sale.place
    payment = sale.payment
    steps: list[Step] = []
    if payment.hold_id is not None:
        steps.append(Capture(payment.hold_id, None, lambda _: by_group(basket, sale.paid)))
    elif payment.points and not payment.done:
        steps.append(Redeem(payment.points, None, lambda _: by_group(basket, sale.paid)))
    grants = _grants(sale)
    if grants:
        steps.append(Accrue(grants))
    return Command(
        customer_id=sale.customer.id,
        kind="receipt" if payment.points else "accrual",
        occurred_at=basket.occurred_at,
        steps=tuple(steps),
        key=sale.request.key,
        fingerprint=sale.request.fingerprint(),
        source=store.sale_source(place.channel, place.store, sale.receipt.number),
        channel=place.channel,
        store=place.store,
        author=sale.request.principal.name,
        complete=lambda outcome: _complete(sale, outcome),
        refuse=refuser(sale.request.request_id),
    )


def _grants(sale: Sale) -> tuple[Grant, ...]:
    weights = [line.amount for line in sale.basket.lines]
    if sale.stated:
        return tuple(
            Grant(stated.bucket, _stated_shares(sale.basket, stated.points, weights))
            for stated in sale.stated
            if stated.points
        )
    return tuple(
        Grant(
            award.bucket,
            by_group(sale.basket, award.by_line),
            award.available_from,
            award.expires_at,
            award.program,
            award.version,
        )
        for award in sale.awards
    )


def _stated_shares(basket: Basket, points: int, weights: Sequence[int]) -> tuple[Share, ...]:
    """Stated points have no lines of their own: they belong to the groups by value."""
    return by_group(basket, split(points, list(weights)))


def _complete(sale: Sale, outcome: Outcome) -> Completion:
    transaction = outcome.transaction
    if transaction is None:
        raise RuntimeError("a sale is a transaction")
    redeemed = sum(sale.paid)
    accruals = _accruals(sale)
    accrued = sum(award.points for award in sale.awards) + sum(s.points for s in sale.stated)
    lines = [
        LineOut(
            line.number,
            format_amount(paid),
            format_amount(line.amount - paid),
            [
                LineAccrual(award.program, format_amount(award.by_line[index]))
                for award in sale.awards
                if award.by_line[index]
            ],
        )
        for index, (line, paid) in enumerate(zip(sale.basket.lines, sale.paid, strict=True))
    ]
    answer = SaleOut(
        id=transaction.id,
        receipt_number=str(sale.receipt.number),
        customer_id=sale.customer.id,
        redeemed=format_amount(redeemed),
        accruals=accruals,
        debt_paid=format_amount(sum(p.amount for p in transaction.postings if p.credit == "debt")),
        lines=lines,
        balance=balance_document(
            outcome.state,
            at=outcome.recorded_at,
            zone=ZoneInfo(sale.place.timezone),
            complete=False,
        ),
        slip=slip_of(
            outcome.state,
            phone_masked=sale.customer.phone_masked,
            accrued=accrued,
            paid=redeemed,
            language=sale.request.language,
            columns=sale.request.columns,
            timezone=sale.place.timezone,
        ),
    )
    row = store.receipt_row(
        transaction.id,
        sale.customer.id,
        sale.place.channel,
        sale.place.store,
        str(sale.receipt.number),
        sale.basket.occurred_at,
        outcome.recorded_at,
        sum(line.amount for line in sale.basket.lines),
        redeemed,
        accrued,
        _lines_json(sale, lines),
        _payments_json(sale.receipt.payments),
        encode(accruals).decode(),
    )
    return Completion(answer_of(201, answer), (row,))


def _accruals(sale: Sale) -> list[AccrualOut]:
    zone = ZoneInfo(sale.place.timezone)
    at = sale.basket.occurred_at.astimezone(zone)
    stated = [
        AccrualOut(None, None, s.bucket, format_amount(s.points), at, None) for s in sale.stated
    ]
    return stated + [
        AccrualOut(
            award.program,
            award.version,
            award.bucket,
            format_amount(award.points),
            award.available_from.astimezone(zone) if award.available_from else at,
            award.expires_at.astimezone(zone) if award.expires_at else None,
        )
        for award in sale.awards
    ]


class StoredLine(msgspec.Struct):
    """A line as billing.receipts keeps it."""

    line: int
    sku: str | None
    group: str
    quantity: str
    price: str
    amount: str
    promo: bool
    points_paid: str
    accruals: dict[str, str]


def _lines_json(sale: Sale, lines: Sequence[LineOut]) -> str:
    stored = [
        StoredLine(
            line.number,
            line.sku,
            line.group,
            given.quantity.text(),
            format_amount(given.price),
            format_amount(line.amount),
            line.promo,
            out.points_paid,
            {accrual.program: accrual.points for accrual in out.accruals},
        )
        for given, line, out in zip(sale.receipt.lines, sale.basket.lines, lines, strict=True)
    ]
    return encode(stored).decode()


def _payments_json(payments: Sequence[PaymentIn]) -> str:
    return encode([{"type": p.type, "amount": p.amount} for p in payments]).decode()
