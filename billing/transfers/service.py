"""Points moved from one customer to another by hand."""

from __future__ import annotations

from typing import Any
from zoneinfo import ZoneInfo

from billing.approvals.allowance import Allowance
from billing.approvals.model import Approval, TurnedDown, key_of
from billing.approvals.posting import ask_first, post_approved, raise_refusal
from billing.approvals.service import Approvals
from billing.balances.model import balance_document
from billing.common.answer import Answer
from billing.common.auth import Principal, Role
from billing.common.decoding import decode_body
from billing.common.errors import Conflict, NotFound, ValidationFailed
from billing.common.money import format_amount
from billing.common.teller import Request, answer_of, carry_out, refuser
from billing.common.wire import encode
from billing.customers.directory import CustomerDirectory
from billing.redemptions.schemas import PointsOrMax
from billing.transfers.schemas import TransferIn
from ledger.commands import MAX, Command, Completion, Transfer
from ledger.decide import Outcome
from ledger.service import Ledger

PATH = "/v1/transfers"


class Transfers:
    """Those of more than `limit` (1/100 points), or than a person's allowance, and of all there
    is, need a second person; it is `kind` transfer of approvals."""

    kind = "transfer"
    approvers: tuple[Role, ...] = ("finance", "admin")
    records_itself = False

    def __init__(
        self,
        ledger: Ledger,
        customers: CustomerDirectory,
        approvals: Approvals,
        allowance: Allowance,
        zone: ZoneInfo,
        limit: int,
    ) -> None:
        self._ledger = ledger
        self._customers = customers
        self._approvals = approvals
        self._allowance = allowance
        self._zone = zone
        self._limit = limit

    async def post(self, request: Request, body: TransferIn) -> Answer:
        """Move the points (201), or ask for approval (202)."""
        command = await self._command(request, body)
        if body.points != PointsOrMax.MAX and body.points <= self._limit:
            points = int(body.points)
            if command.refusal is not None or await self._allowance.allows(request, points):
                person = request.principal.person
                counted = await self._allowance.within(command, person, points)
                return await carry_out(self._ledger, counted)
        raise_refusal(command)
        asked = _text(body)
        return await ask_first(
            self._ledger,
            self._approvals,
            request,
            "transfer_out",
            approval_kind=self.kind,
            summary=f"{asked} points to another customer: {body.reason}",
            content={
                "from": {"customer_id": str(command.customer_id)},
                "to": {"customer_id": str(_step(command).to)},
                "points": asked,
                "reason": str(body.reason),
            },
        )

    async def approve(self, approval: Approval, principal: Principal) -> Any:
        raw = encode(approval.content)
        request = Request(principal, key_of(approval), None, PATH, raw)
        command = await self._command(request, decode_body(raw, TransferIn))
        raise_refusal(command)
        return await post_approved(self._ledger, approval, command)

    async def turned_down(
        self, approval: Approval, state: TurnedDown, principal: Principal, reason: str | None
    ) -> None:
        """Nothing was done."""

    async def _command(self, request: Request, body: TransferIn) -> Command:
        now = self._ledger.clock()
        try:
            if body.points == 0:
                raise ValidationFailed.at("/points", "must not be zero")
            giver = await self._customers.require(body.from_, "/from")
            taker = await self._customers.require(body.to, "/to")
            if giver.id == taker.id:
                raise Conflict("same_customer", "Both names are of one customer.")
        except (NotFound, Conflict, ValidationFailed) as problem:
            return request.refusing("transfer_out", now, problem)
        channel, shop = request.principal.bind(None, None)
        points = MAX if body.points == PointsOrMax.MAX else int(body.points)
        return Command(
            customer_id=giver.id,
            kind="transfer_out",
            occurred_at=now,
            steps=(Transfer(taker.id, points),),  # type: ignore[arg-type]
            key=request.key,
            fingerprint=request.fingerprint(),
            channel=channel,
            store=shop,
            author=request.principal.name,
            reason=body.reason,
            complete=lambda outcome: self._complete(body, taker.id, outcome),
            refuse=refuser(request.request_id),
        )

    def _complete(self, body: TransferIn, to: Any, outcome: Outcome) -> Completion:
        transaction = outcome.transaction
        if transaction is None:
            raise RuntimeError("a transfer is a transaction")
        moved = sum(one.amount for one in transaction.postings if one.credit == "clearing")
        document = {
            "id": transaction.id,
            "operation_id": transaction.operation_id,
            "from_customer_id": transaction.customer_id,
            "to_customer_id": to,
            "points": format_amount(moved),
            "reason": str(body.reason),
            "occurred_at": transaction.occurred_at.astimezone(self._zone),
            "balance": balance_document(
                outcome.state, at=outcome.recorded_at, zone=self._zone, complete=True
            ),
        }
        return Completion(answer_of(201, document))


def _step(command: Command) -> Transfer:
    (step,) = command.steps
    if not isinstance(step, Transfer):
        raise TypeError("the command of a transfer has one step")
    return step


def _text(body: TransferIn) -> str:
    return "max" if body.points == PointsOrMax.MAX else format_amount(body.points)
