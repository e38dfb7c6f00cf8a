"""A sale as a command: pay with points, earn points, and tell the till about it.

What a sale earns is known before the ledger is asked, unless it depends on what only the
customer's lock holds still (counters of limits, a quote that must still hold): then it is
calculated in the command's plan, by the same code.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from datetime import datetime
from typing import Final
from uuid import UUID
from zoneinfo import ZoneInfo

import msgspec
from msgspec.structs import replace

from billing.balances.model import balance_document
from billing.common.money import format_amount, split
from billing.common.teller import Request, answer_of, refuser
from billing.common.wire import encode
from billing.programs import limits
from billing.programs.fiscal import PrintLine, print_lines
from billing.programs.lines import by_group, positions
from billing.programs.model import UNIT, Award, Basket, Line, Part
from billing.programs.payment import Payable
from billing.receipts import store
from billing.receipts.basket import Place
from billing.receipts.checkout import Deal
from billing.receipts.schemas import (
    AccrualOut,
    LineAccrual,
    LineOut,
    PaymentIn,
    PrintOut,
    Quantity,
    ReceiptIn,
    SaleOut,
    StatedIn,
)
from billing.receipts.slip import Language, slip_of
from billing.verifications.redeeming import NO_DEMAND, Demand
from ledger.commands import (
    WAITING,
    Accrue,
    Answer,
    Capture,
    Command,
    Completion,
    Facts,
    Grant,
    Redeem,
    Row,
    Share,
    Step,
    View,
)
from ledger.decide import Outcome
from ledger.errors import Refusal

Check = Callable[[View, Sequence[Award]], None]
"""Raises Refusal unless what was promised still holds."""


MAX_POSTINGS: Final = 5000
"""More postings than this are made by lot alone, not by product group, too: tills wait for each
other's groups."""


class SaleRequest(Request, frozen=True):
    """A request that is answered with a slip: how it is to look."""

    language: Language = "en"
    columns: int = 32


class Payment(msgspec.Struct, frozen=True):
    """How many points pay a sale: from the balance, from an open hold, or already redeemed by
    `done_by`. `claims` are natural keys of the payment, `excludes` those of payments that this one
    would have to name; `allowed` what an earlier redemption was allowed to pay, which goes before
    the rules of now."""

    points: int = 0
    hold_id: UUID | None = None
    done_by: UUID | None = None
    claims: tuple[str, ...] = ()
    excludes: tuple[str, ...] = ()
    allowed: Payable | None = None


_PAID = (
    "This receipt is paid with points already, by a redemption of its own; post the sale to "
    "/v1/receipts and name that redemption in redeem.redemption_id."
)


class Sale:
    """A sale ready to be posted."""

    def __init__(
        self,
        request: SaleRequest,
        place: Place,
        receipt: ReceiptIn,
        deal: Deal,
        payment: Payment,
        stated: Sequence[StatedIn] = (),
        check: Check | None = None,
        demand: Demand = NO_DEMAND,
    ) -> None:
        self._request = request
        self._place = place
        self._receipt = receipt
        self._deal = deal
        self._basket = deal.basket
        self._payment = payment
        self._paid = deal.paid(payment.points)
        self._stated = stated
        self._check = check
        self._demand = demand
        self._awards: Sequence[Award] = ()
        self._waits = False
        self._occurred_at = receipt.occurred_at

    def command(self) -> Command:
        counted = not self._stated and (self._check is not None or self._deal.is_counted)
        planned = counted or self._deal.waits
        if not planned and not self._stated:
            self._awards = self._deal.awards(self._paid)
        place, hold_id = self._place, self._payment.hold_id
        return Command(
            customer_id=self._deal.customer.id,
            kind="receipt" if self._payment.points else "accrual",
            occurred_at=self._occurred_at,
            steps=() if planned else self._steps(),
            plan=self._plan if planned else None,
            facts=self._deal.facts if planned else (),
            holds=(hold_id,) if planned and hold_id is not None else (),
            key=self._request.key,
            fingerprint=self._request.fingerprint(),
            source=store.sale_source(place.channel, place.store, self._receipt.number),
            claims=(*self._payment.claims, *self._demand.claims),
            excludes=self._payment.excludes,
            channel=place.channel,
            store=place.store,
            author=self._request.principal.name,
            complete=self._complete,
            refuse=self._refuse,
        )

    def _plan(self, view: View) -> tuple[Step, ...]:
        deal = self._deal.known_by(view.facts)
        self._waits = deal.waits
        if not self._stated:
            self._awards = deal.awards(self._paid, limits.used(view.facts, deal.counters))
        if self._check is not None:
            self._check(view, self._awards)
        self._seen = view.facts
        return self._steps()

    def _steps(self) -> tuple[Step, ...]:
        payment = self._payment
        steps: list[Step] = []
        if payment.hold_id is not None:
            steps.append(Capture(payment.hold_id, None, self._spread))
        elif payment.points and payment.done_by is None:
            order = self._deal.payable.order
            steps.append(Redeem(payment.points, None, self._spread, order))
        grants = self._grants()
        if grants:
            steps.append(Accrue(grants))
        return tuple(steps)

    def _spread(self, _: int) -> Sequence[Share]:
        return by_group(self._basket, self._paid)

    def _grants(self) -> tuple[Grant, ...]:
        if self._stated:
            weights = [line.amount for line in self._basket.lines]
            return tuple(
                Grant(
                    s.bucket,
                    by_group(self._basket, split(s.points, weights)),
                    WAITING if self._waits else None,
                )
                for s in self._stated
                if s.points
            )
        return grants_of(self._awards, self._basket)

    def _refuse(self, refusal: Refusal) -> Answer:
        source = str(refusal.members.get("source", ""))
        if refusal.code == "source_exists" and source in self._demand.claims:
            refusal = self._demand.used()
        elif refusal.code == "source_exists" and source.startswith("redemption/"):
            refusal = Refusal(
                "receipt_exists", _PAID, transaction_id=refusal.members["transaction_id"]
            )
        return refuser(self._request.request_id)(refusal)

    def _complete(self, outcome: Outcome) -> Completion:
        transaction = outcome.transaction
        if transaction is None:
            raise RuntimeError("a sale is a transaction")
        rows: list[Row] = []
        facts: Facts = {}
        if self._deal.is_counted and not self._stated:
            counted, facts = limits.counting(
                self._awards, self._deal.programs, self._deal.situation, self._seen
            )
            rows += counted
        redeemed = sum(self._paid)
        self._demand.check(redeemed)
        accruals = self._accruals()
        accrued = sum(one.points for one in self._awards) + sum(s.points for s in self._stated)
        lines = lines_out(self._basket, self._paid, self._awards)
        answer = SaleOut(
            id=transaction.id,
            receipt_number=str(self._receipt.number),
            customer_id=self._deal.customer.id,
            redeemed=format_amount(redeemed),
            accruals=accruals,
            debt_paid=format_amount(
                sum(p.amount for p in transaction.postings if p.credit == "debt")
            ),
            lines=lines,
            balance=balance_document(
                outcome.state,
                at=outcome.recorded_at,
                zone=ZoneInfo(self._place.timezone),
                complete=False,
            ),
            slip=slip_of(
                outcome.state,
                phone_masked=self._deal.customer.phone_masked,
                accrued=accrued,
                paid=redeemed,
                language=self._request.language,
                columns=self._request.columns,
                timezone=self._place.timezone,
            ),
        )
        rows.append(
            store.receipt_row(
                transaction.id,
                self._deal.customer.id,
                self._place.channel,
                self._place.store,
                str(self._receipt.number),
                self._occurred_at,
                outcome.recorded_at,
                self._basket.total,
                redeemed,
                accrued,
                self._lines_json(lines),
                _payments_json(self._receipt.payments),
                encode(accruals).decode(),
                self._payment.done_by,
                " ".join(sorted(self._basket.codes)) or None,
            )
        )
        return Completion(answer_of(201, answer), tuple(rows), facts)

    def _accruals(self) -> list[AccrualOut]:
        zone = ZoneInfo(self._place.timezone)
        at = self._occurred_at.astimezone(zone)
        stated = [
            AccrualOut(
                None, None, s.bucket, format_amount(s.points), None if self._waits else at, None
            )
            for s in self._stated
        ]
        return stated + accruals_out(self._awards, self._basket)

    def _lines_json(self, lines: Sequence[LineOut]) -> str:
        stored = [
            StoredLine(
                line.number,
                line.sku,
                line.group,
                Quantity(line.quantity).text(),
                format_amount(line.price or 0),
                format_amount(line.amount),
                line.promo,
                out.points_paid,
                {accrual.program: accrual.points for accrual in out.accruals},
            )
            for line, out in zip(self._basket.lines, lines, strict=True)
        ]
        return encode(stored).decode()


def grants_of(awards: Sequence[Award], basket: Basket) -> tuple[Grant, ...]:
    """The lots that awards make, by product group unless that makes too many postings."""
    grants = tuple(
        Grant(
            award.bucket,
            by_group(basket, part.by_line) if basket.lines else ((None, part.points),),
            part.available_from,
            part.expires_at,
            award.program,
            award.version,
        )
        for award in awards
        for part in award.parts
    )
    if sum(len(grant.shares) for grant in grants) <= MAX_POSTINGS:
        return grants
    return tuple(replace(grant, shares=((None, grant.amount),)) for grant in grants)


def accruals_out(awards: Sequence[Award], basket: Basket) -> list[AccrualOut]:
    """Awards as a till sees them, one entry for each life."""
    zone = ZoneInfo(basket.timezone)
    at = basket.occurred_at.astimezone(zone)

    def available(since: datetime | None) -> datetime | None:
        return None if since == WAITING else since.astimezone(zone) if since else at

    def entry(award: Award, part: Part) -> AccrualOut:
        return AccrualOut(
            award.program,
            award.version,
            award.bucket,
            format_amount(part.points),
            available(part.available_from),
            part.expires_at.astimezone(zone) if part.expires_at else None,
        )

    return [entry(award, part) for award in awards for part in award.parts]


def lines_out(basket: Basket, paid: Sequence[int], awards: Sequence[Award]) -> list[LineOut]:
    """What each line is paid with and earns, and how a fiscal receipt prints it."""
    out = [
        LineOut(
            line.number,
            format_amount(points),
            format_amount(line.amount - points),
            [],
            print_out(line, points) if points else [],
        )
        for line, points in zip(basket.lines, paid, strict=True)
    ]
    for award in awards:
        for i in positions(award.by_line):
            out[i].accruals.append(LineAccrual(award.program, format_amount(award.by_line[i])))
    return out


def print_out(line: Line, points: int) -> list[PrintOut]:
    """A line after points, as quantity × price (54-FZ)."""
    price = line.price if line.price is not None else line.amount * UNIT // line.quantity
    return [_printed(one) for one in print_lines(line.amount - points, line.quantity, price)]


def _printed(one: PrintLine) -> PrintOut:
    return PrintOut(
        Quantity(one.quantity).text(), format_amount(one.price), format_amount(one.amount)
    )


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


def _payments_json(payments: Sequence[PaymentIn]) -> str:
    return encode([{"type": p.type, "amount": p.amount} for p in payments]).decode()
