"""Adjustments above the limit: asked by one, approved by another."""

from __future__ import annotations

from typing import Any

from billing.adjustments.schemas import AdjustmentIn
from billing.adjustments.service import PATH, Adjustments
from billing.approvals.model import Approval, TurnedDown, key_of
from billing.approvals.posting import ask_first, post_approved, raise_refusal
from billing.approvals.service import Approvals
from billing.common.answer import Answer
from billing.common.auth import Principal, Role
from billing.common.decoding import decode_body
from billing.common.money import format_amount
from billing.common.teller import Request
from billing.common.wire import encode
from ledger.service import Ledger


class AdjustmentApprovals:
    """`kind` adjustment of approvals."""

    kind = "adjustment"
    approvers: tuple[Role, ...] = ("finance", "admin")
    records_itself = False

    def __init__(self, ledger: Ledger, adjustments: Adjustments, approvals: Approvals) -> None:
        self._ledger = ledger
        self._adjustments = adjustments
        self._approvals = approvals

    async def ask(self, request: Request, body: AdjustmentIn) -> Answer:
        """202, once it is seen that it could be carried out. Raises ValidationFailed, NotFound."""
        command = await self._adjustments.unlimited(request, body)
        raise_refusal(command)
        content: dict[str, Any] = {
            "customer": {"customer_id": str(command.customer_id)},
            "points": format_amount(body.points),
            "bucket": body.bucket,
            "reason": str(body.reason),
        }
        for name in ("available_from", "expires_at"):
            if (moment := getattr(body, name)) is not None:
                content[name] = moment.isoformat()
        return await ask_first(
            self._ledger,
            self._approvals,
            request,
            "adjustment",
            approval_kind=self.kind,
            summary=f"{content['points']} {body.bucket} points: {body.reason}",
            content=content,
        )

    async def approve(self, approval: Approval, principal: Principal) -> Any:
        raw = encode(approval.content)
        body: AdjustmentIn = decode_body(raw, AdjustmentIn)
        request = Request(principal, key_of(approval), None, PATH, raw)
        command = await self._adjustments.unlimited(request, body)
        raise_refusal(command)
        return await post_approved(self._ledger, approval, command)

    async def turned_down(
        self, approval: Approval, state: TurnedDown, principal: Principal, reason: str | None
    ) -> None:
        """Nothing was done."""
