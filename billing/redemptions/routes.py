"""Redemptions over HTTP."""

from __future__ import annotations

from typing import Any
from uuid import UUID

from billing.common.answer import Answer
from billing.common.errors import NotFound
from billing.common.http import Call, operation
from billing.common.teller import carry_out
from billing.receipts.examples import sale_example
from billing.receipts.routes import request_of
from billing.redemptions.schemas import CaptureIn, RedemptionIn, RedemptionOut
from billing.redemptions.service import Redemptions
from ledger.service import Ledger

_TAG = "Redemptions"
_ENDINGS = ("hold_not_open", "hold_expired")


@operation(
    "POST",
    "/v1/redemptions",
    summary="Pay with points, or hold them",
    tag=_TAG,
    may=("pos", "site", "finance", "admin"),
    body=RedemptionIn,
    answers={201: RedemptionOut},
    conflicts=(
        "insufficient_points",
        "customer_not_verified",
        "customer_blocked",
        "receipt_exists",
        "period_closed",
        "verification_required",
        "verification_used",
    ),
    idempotent=True,
    examples={
        "held": {
            **sale_example("0001-000126"),
            "points": "1.50",
            "mode": "hold",
            "hold_seconds": 600,
        },
        "at once": {**sale_example("0001-000127"), "points": "1.50", "mode": "capture"},
    },
)
async def redeem(call: Call[RedemptionIn]) -> Answer:
    """`max` takes what there is, as far as the receipt can be paid with points. A hold that is
    neither captured nor released in time gives its points back by itself."""
    command = await call.use(Redemptions).prepare(request_of(call, "/v1/redemptions"), call.body)
    return await carry_out(call.use(Ledger), command)


@operation(
    "POST",
    "/v1/redemptions/{id}/capture",
    summary="Spend held points",
    tag=_TAG,
    may=("pos", "site", "finance", "admin"),
    body=CaptureIn,
    answers={200: RedemptionOut},
    conflicts=_ENDINGS,
    idempotent=True,
    examples={"all": {}, "a part": {"points": "1.00"}},
)
async def capture(call: Call[CaptureIn]) -> Answer:
    """Less than held releases the rest."""
    redemption = _id(call)
    command = await call.use(Redemptions).capture(
        request_of(call, f"/v1/redemptions/{redemption}/capture"), redemption, call.body
    )
    return await carry_out(call.use(Ledger), command)


@operation(
    "POST",
    "/v1/redemptions/{id}/release",
    summary="Give held points back",
    tag=_TAG,
    may=("pos", "site", "finance", "admin"),
    answers={200: RedemptionOut},
    conflicts=_ENDINGS,
    idempotent=True,
)
async def release(call: Call) -> Answer:
    """The points are available again at once."""
    redemption = _id(call)
    command = await call.use(Redemptions).release(
        request_of(call, f"/v1/redemptions/{redemption}/release"), redemption
    )
    return await carry_out(call.use(Ledger), command)


@operation(
    "GET",
    "/v1/redemptions/{id}",
    summary="Read a redemption",
    tag=_TAG,
    may=("pos", "site", "finance", "support", "admin"),
    answers={200: RedemptionOut},
)
async def read_redemption(call: Call) -> Answer:
    """Its status now: held, captured, released or expired."""
    found = await call.use(Redemptions).read(request_of(call, ""), _id(call))
    return Answer.json(found)


def _id(call: Call[Any, Any]) -> UUID:
    try:
        return UUID(call.path["id"])
    except ValueError:
        raise NotFound(f"There is no redemption {call.path['id']!r}.") from None


OPERATIONS = [redeem, capture, release, read_redemption]
