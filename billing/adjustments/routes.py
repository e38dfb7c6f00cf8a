"""Adjustments over HTTP."""

from __future__ import annotations

from billing.adjustments.approval import AdjustmentApprovals
from billing.adjustments.schemas import AdjustmentIn, AdjustmentOut
from billing.adjustments.service import PATH, Adjustments
from billing.approvals.schemas import WaitingOut
from billing.common.answer import Answer
from billing.common.http import Call, operation
from billing.common.teller import Request, carry_out
from billing.receipts.examples import CUSTOMER
from ledger.service import Ledger


@operation(
    "POST",
    PATH,
    summary="Give or take points by hand",
    tag="Adjustments",
    may=("finance", "admin"),
    body=AdjustmentIn,
    answers={201: AdjustmentOut, 202: WaitingOut},
    conflicts=("insufficient_points", "balance_limit", "approval_needed"),
    idempotent=True,
    examples={
        "give": {
            "customer": CUSTOMER,
            "points": "+10.00",
            "bucket": "promo",
            "reason": "Compensation for a faulty blender, claim 4711",
            "expires_at": "2050-01-01T00:00:00-05:00",
        },
        "take": {"customer": CUSTOMER, "points": "-1.00", "reason": "Given by mistake yesterday"},
    },
)
async def create_adjustment(call: Call[AdjustmentIn]) -> Answer:
    """The reason is obligatory and stays in the ledger with the name of the key.

    Works for blocked and unverified customers, too: that is how what was wrong with them is put
    right. Taking more than is available in the bucket is refused with `available`; deferred
    and held points cannot be taken, and a debt stays as it is.

    More than `BONUS_ADJUSTMENT_APPROVAL_POINTS`, or more by one person within 24 hours than
    `BONUS_PERSON_APPROVAL_POINTS`, needs a second person: 202 with an `approval_id`, and nothing
    moves before somebody else approves it.
    """
    request = Request(call.principal, call.idempotency_key, call.request_id, PATH, call.raw)
    if await call.use(Adjustments).needs_approval(request, call.body):
        return await call.use(AdjustmentApprovals).ask(request, call.body)
    command = await call.use(Adjustments).prepare(request, call.body)
    return await carry_out(call.use(Ledger), command)


OPERATIONS = [create_adjustment]
