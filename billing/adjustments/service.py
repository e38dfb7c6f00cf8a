"""Adjustments by hand: points given or taken with a reason and an author."""

from __future__ import annotations

from datetime import datetime
from zoneinfo import ZoneInfo

from msgspec import Struct

from billing.adjustments.schemas import AdjustmentIn
from billing.balances.model import balance_document
from billing.common.answer import Answer
from billing.common.auth import Principal
from billing.common.errors import FieldError, NotFound, ValidationFailed
from billing.common.money import format_amount
from billing.common.teller import (
    answer_of,
    answered,
    fingerprint,
    refusal_of,
    refuser,
    told,
)
from billing.customers.directory import CustomerDirectory
from ledger.commands import Adjust, Command, Completion
from ledger.decide import Outcome
from ledger.errors import Refusal
from ledger.service import Ledger

PATH = "/v1/adjustments"
TIMEOUT_S = 1.8


class Request(Struct, frozen=True):
    """Who asks, under which key, and the body as it came."""

    principal: Principal
    key: str
    request_id: str
    raw: bytes


class Late(Refusal):
    """A date of the request has passed. Not kept: the key may be used again with a later one,
    and a key that was answered while the date still lay ahead hears that answer."""

    def __init__(self, problem: ValidationFailed) -> None:
        super().__init__(problem.code, problem.detail)
        self.problem = problem


class Adjustments:
    """Prepares adjustments as commands for the ledger, and carries one out."""

    def __init__(self, ledger: Ledger, customers: CustomerDirectory, zone: ZoneInfo) -> None:
        self._ledger = ledger
        self._customers = customers
        self._zone = zone

    async def prepare(self, request: Request, body: AdjustmentIn) -> Command:
        """The command of an adjustment, or of a refusal: of an unknown customer, which is kept,
        or `Late`, which is not. Raises ValidationFailed.

        Blocked and unverified customers may be adjusted, too: that is how finance puts right
        what was wrong with them.
        """
        _check(body)
        now = self._ledger.clock()
        refusal: Refusal | None = None
        customer_id = None
        try:
            customer_id = (await self._customers.require(body.customer)).id
        except NotFound as unknown:
            refusal = refusal_of(unknown)
        late = body.expires_at is not None and body.expires_at <= now
        if late:
            refusal = Late(ValidationFailed.at("/expires_at", "must be in the future"))
        channel, shop = request.principal.bind(None, None)
        return Command(
            customer_id=customer_id,
            kind="adjustment",
            occurred_at=now,
            steps=() if refusal else (_step(body, now),),
            key=request.key,
            fingerprint=fingerprint(PATH, request.raw),
            channel=channel,
            store=shop,
            author=request.principal.name,
            reason=body.reason,
            complete=lambda outcome: self._complete(body, outcome),
            refuse=None if late else refuser(request.request_id),
            refusal=refusal,
        )

    async def adjust(self, request: Request, body: AdjustmentIn) -> Answer:
        """Carry it out; back after its commit. Raises what `teller.carry_out` raises, too."""
        command = await self.prepare(request, body)
        with told():
            try:
                result = await self._ledger.execute(command, TIMEOUT_S)
            except Late as late:
                raise late.problem from None
        return answered(result)

    def _complete(self, body: AdjustmentIn, outcome: Outcome) -> Completion:
        transaction = outcome.transaction
        if transaction is None:
            raise RuntimeError("an adjustment is a transaction")
        document = {
            "id": transaction.id,
            "customer_id": transaction.customer_id,
            "points": format_amount(body.points),
            "bucket": body.bucket,
            "reason": str(body.reason),
            "occurred_at": transaction.occurred_at.astimezone(self._zone),
            "balance": balance_document(
                outcome.state, at=outcome.recorded_at, zone=self._zone, complete=True
            ),
        }
        return Completion(answer_of(201, document))


def _step(body: AdjustmentIn, now: datetime) -> Adjust:
    start = body.available_from
    ahead = start if start is not None and start > now else None
    return Adjust(body.points, body.bucket, ahead, body.expires_at)


def _check(body: AdjustmentIn) -> None:
    """What can be said of an adjustment without asking the time. Raises ValidationFailed."""
    faults: list[FieldError] = []
    if body.points == 0:
        faults.append(FieldError("/points", "must not be zero"))
    if body.points < 0:
        faults += [
            FieldError(f"/{name}", "is only for points that are given; leave it out")
            for name in ("available_from", "expires_at")
            if getattr(body, name) is not None
        ]
    elif body.expires_at and body.available_from and body.expires_at <= body.available_from:
        faults.append(FieldError("/expires_at", "must be after available_from"))
    if faults:
        raise ValidationFailed(faults)
