"""Posting sales: redeem and earn in one transaction; and reading them back."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Sequence
from datetime import datetime
from uuid import UUID
from zoneinfo import ZoneInfo

import asyncpg
import msgspec
from msgspec.structs import replace

from billing.catalog.service import Catalog
from billing.common.db import Database
from billing.common.errors import Conflict, NotFound, ValidationFailed
from billing.common.money import format_amount
from billing.common.teller import Request, problem_of
from billing.customers.model import Customer
from billing.programs.calculation import TooManyPoints
from billing.programs.model import Basket
from billing.programs.obstacles import refusal
from billing.receipts import store
from billing.receipts.basket import Place, timezone_of
from billing.receipts.checkout import Checkout, Deal
from billing.receipts.sale import Check, Payment, Sale, SaleRequest
from billing.receipts.schemas import (
    AccrualIn,
    PointsIn,
    PostingOut,
    SaleIn,
    StatedIn,
    StoredReceipt,
)
from billing.redemptions.model import kept_payable
from billing.redemptions.store import read_redemption, redemption_source
from billing.returns.stored import returns_of
from billing.verifications.redeeming import NO_DEMAND, Demand, RedemptionCodes
from ledger import reads
from ledger.commands import Command
from ledger.model import Transaction
from ledger.service import Ledger

Quoted = Callable[[UUID, Basket], Awaitable[tuple[datetime, Callable[[Deal, list[int]], Check]]]]
"""Of a quote_id and the basket: the moment it was calculated for, and how to check that it still
holds. Raises Conflict quote_stale."""


class Sales:
    """Prepares sales as commands for the ledger; `billing.common.teller` carries them out. None
    may state more than `most_stated` (1/100 points) at once."""

    def __init__(
        self,
        ledger: Ledger,
        database: Database,
        catalog: Catalog,
        checkout: Checkout,
        quoted: Quoted,
        codes: RedemptionCodes,
        *,
        timezone: str,
        most_stated: int,
    ) -> None:
        self._ledger = ledger
        self._database = database
        self._catalog = catalog
        self._checkout = checkout
        self._quoted = quoted
        self._codes = codes
        self._timezone = timezone
        self._most_stated = most_stated

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
        place = await self._checkout.place(request.principal, body.channel, body.store)
        basket = await self._checkout.basket(place, body.receipt)
        redeem = body.redeem if isinstance(body, SaleIn) else None
        quote_id = body.quote_id if isinstance(body, SaleIn) else None
        stated = tuple(body.stated or ()) if isinstance(body, AccrualIn) else ()
        customer: Customer | None = None
        try:
            self._may_state(stated)
            customer = await self._checkout.customer(body.customer)
            waits = self._checkout.may_collect(customer)
            if redeem is not None and redeem.points != 0:
                self._checkout.may_spend(customer)
            promise = await self._quoted(quote_id, basket) if quote_id is not None else None
            payment = await self._payment(
                request, redeem, customer, place, basket, body.receipt.number
            )
            demand = await self._demand(redeem, customer, payment)
            if stated:
                payment = Payment()  # What was paid with points does not change what is stated.
        except (NotFound, Conflict) as problem:
            known = customer.id if customer else None
            return request.refusing("receipt", basket.occurred_at, problem, known)
        at = promise[0] if promise else None
        deal = await self._checkout.deal(basket, customer, at, waits=waits)
        if payment.allowed is not None:
            deal = replace(deal, payable=payment.allowed)
        self._check_payable(deal, redeem, payment)
        check = promise[1](deal, deal.paid(payment.points)) if promise else None
        try:
            sale = Sale(request, place, body.receipt, deal, payment, stated, check, demand)
            return sale.command()
        except TooManyPoints as refusal:
            conflict = problem_of(refusal)
            return request.refusing("receipt", basket.occurred_at, conflict, customer.id)

    def _may_state(self, stated: Sequence[StatedIn]) -> None:
        """A sale must not be what an adjustment may not. Raises Conflict approval_needed."""
        if any(one.points > self._most_stated for one in stated):
            raise Conflict(
                "approval_needed",
                f"No sale may state more than {format_amount(self._most_stated)} points; give them "
                "by an adjustment, which a second person approves.",
            )

    async def _demand(
        self, redeem: PointsIn | None, customer: Customer, payment: Payment
    ) -> Demand:
        """What the payment needs beside points. What was held or paid before was asked then.

        Raises Conflict verification_required for a verification that is not good for it.
        """
        if redeem is None or redeem.redemption_id is not None or not payment.points:
            return NO_DEMAND
        return await self._codes.demand(customer.id, redeem.verification_id)

    def _check_payable(self, deal: Deal, redeem: PointsIn | None, payment: Payment) -> None:
        if payment.points <= deal.payable.total:
            return
        by_id = redeem is not None and redeem.redemption_id is not None
        pointer = "/redeem/redemption_id" if by_id else "/redeem/points"
        raise ValidationFailed.at(pointer, refusal(deal.payable))

    async def _payment(
        self,
        request: Request,
        redeem: PointsIn | None,
        customer: Customer,
        place: Place,
        basket: Basket,
        number: str,
    ) -> Payment:
        """What pays. Raises NotFound, Conflict, and Forbidden for another place's redemption."""
        claim = redemption_source(place.channel, place.store, number)
        if redeem is None or redeem.points == 0:
            # What a redemption of its own paid is no money: the sale has to know of it.
            return Payment(excludes=(claim,))
        if redeem.redemption_id is None:
            # Nobody pays one receipt twice: here, and by a redemption of its own.
            return Payment(int(redeem.points or 0), claims=(claim,))
        row = await read_redemption(self._database, redeem.redemption_id)
        if row is None or row["customer_id"] != customer.id:
            raise NotFound(f"This customer has no redemption {redeem.redemption_id}.")
        request.principal.covers(row["channel"], row["store"])
        # At its own place it pays as it was promised to, whatever the rules are now.
        allowed = None
        if (row["channel"], row["store"]) == (place.channel, place.store):
            allowed = kept_payable(row, basket)
        hold = None
        if row["mode"] == "hold":
            hold = await reads.hold_now(self._ledger, customer.id, row["id"])
        if hold is not None and hold.status != "captured":
            return Payment(row["points"], row["id"], claims=(claim,), allowed=allowed)
        of_this = (row["channel"], row["store"], row["number"])
        if of_this != (place.channel, place.store, number):
            raise Conflict(
                "hold_not_open", f"The redemption paid another receipt, {row['number']}."
            )
        if hold is None:
            return Payment(row["points"], done_by=row["id"], allowed=allowed)
        spent_by = await reads.capture_of(self._ledger, customer.id, row["id"])
        return Payment(hold.captured, done_by=spent_by, allowed=allowed)

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
            returns=await returns_of(self._database, transaction.customer_id, row["id"], zone),
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
