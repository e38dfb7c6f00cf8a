"""Transfers over HTTP."""

from __future__ import annotations

from billing.approvals.schemas import WaitingOut
from billing.common.answer import Answer
from billing.common.http import Call, Operation, operation
from billing.common.teller import Request
from billing.receipts.examples import CUSTOMER, OTHER_CUSTOMER
from billing.transfers.schemas import TransferIn, TransferOut
from billing.transfers.service import PATH, Transfers


@operation(
    "POST",
    PATH,
    summary="Move points to another customer by hand",
    tag="Adjustments",
    may=("finance", "admin"),
    body=TransferIn,
    answers={201: TransferOut, 202: WaitingOut},
    conflicts=("insufficient_points", "same_customer", "balance_limit", "approval_needed"),
    idempotent=True,
    examples={
        "lost card": {
            "from": CUSTOMER,
            "to": OTHER_CUSTOMER,
            "points": "max",
            "reason": "The card was lost and the phone changed, claim 4712",
        }
    },
)
async def create_transfer(call: Call[TransferIn]) -> Answer:
    """More than `BONUS_TRANSFER_APPROVAL_POINTS` (by default any) needs a second person: 202 with
    an `approval_id`, and nothing moves before somebody with another key approves it. What is
    available moves, in burn order; deferred and held points stay."""
    request = Request(call.principal, call.idempotency_key, call.request_id, PATH, call.raw)
    return await call.use(Transfers).post(request, call.body)


OPERATIONS: list[Operation] = [create_transfer]
