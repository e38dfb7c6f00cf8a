"""Adjustments by hand: points given or taken with a reason and an author."""

from __future__ import annotations

from datetime import datetime
from zoneinfo import ZoneInfo

from billing.adjustments.schemas import AdjustmentIn
from billing.approvals.allowance import Allowance
from billing.balances.model import balance_document
from billing.common.errors import Conflict, FieldError, NotFound, ValidationFailed
from billing.common.money import format_amount
from billing.common.teller import Request, answer_of, refuser
from billing.customers.directory import CustomerDirectory
from ledger.commands import Adjust, Command, Completion
from ledger.decide import Outcome
from ledger.service import Ledger

PATH = "/v1/adjustments"


class Adjustments:
    """Prepares adjustments as commands for the ledger. Those of more than `limit` (1/100 points)
    need a second person, and so does what is more than a person's allowance."""

    def __init__(
        self,
        ledger: Ledger,
        customers: CustomerDirectory,
        allowance: Allowance,
        zone: ZoneInfo,
        limit: int,
    ) -> None:
        self._ledger = ledger
        self._customers = customers
        self._allowance = allowance
        self._zone = zone
        self._limit = limit

    async def needs_approval(self, request: Request, body: AdjustmentIn) -> bool:
        points = abs(body.points)
        return points > self._limit or not await self._allowance.allows(request, points)

    async def prepare(self, request: Request, body: AdjustmentIn) -> Command:
        """The command of an adjustment within the limits, or of a refusal."""
        if abs(body.points) > self._limit:
            problem = Conflict(
                "approval_needed",
                f"Adjustments of more than {format_amount(self._limit)} points need a second "
                "person; post each by itself to /v1/adjustments.",
            )
            return request.refusing("adjustment", self._ledger.clock(), problem)
        command = await self.unlimited(request, body)
        return await self._allowance.within(command, request.principal.person, abs(body.points))

    async def unlimited(self, request: Request, body: AdjustmentIn) -> Command:
        """The command of an adjustment of any size, or of a refusal.

        Blocked and unverified customers may be adjusted, too: that is how finance puts right
        what was wrong with them.
        """
        now = self._ledger.clock()
        try:
            _check(body)
            if body.expires_at is not None and body.expires_at <= now:
                raise ValidationFailed.at("/expires_at", "must be in the future")
            customer = await self._customers.require(body.customer)
        except (NotFound, ValidationFailed) as problem:
            return request.refusing("adjustment", now, problem)
        channel, shop = request.principal.bind(None, None)
        return Command(
            customer_id=customer.id,
            kind="adjustment",
            occurred_at=now,
            steps=(_step(body, now),),
            key=request.key,
            fingerprint=request.fingerprint(),
            channel=channel,
            store=shop,
            author=request.principal.name,
            reason=body.reason,
            complete=lambda outcome: self._complete(body, outcome),
            refuse=refuser(request.request_id),
        )

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
