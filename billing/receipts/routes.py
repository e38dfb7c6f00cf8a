"""Sales over HTTP: the till's main call."""

from __future__ import annotations

from typing import Any

from billing.common.answer import Answer
from billing.common.http import Call, operation
from billing.common.teller import carry_out
from billing.receipts.examples import sale_example
from billing.receipts.sale import SaleRequest
from billing.receipts.schemas import AccrualIn, SaleIn, SaleOut, SlipQuery, StoredReceipt
from billing.receipts.service import Sales
from billing.receipts.slip import language_of
from ledger.service import Ledger

_TAG = "Sales"
_CONFLICTS = (
    "receipt_exists",
    "customer_not_verified",
    "customer_blocked",
    "balance_limit",
    "period_closed",
)


def request_of(call: Call[Any, Any], path: str, columns: int = 32) -> SaleRequest:
    """What a call says beside its body."""
    return SaleRequest(
        call.principal,
        call.idempotency_key,
        call.request_id,
        path,
        call.raw,
        language_of(call.headers.get(b"accept-language")),
        columns,
    )


@operation(
    "POST",
    "/v1/receipts",
    summary="Post a sale: redeem and earn",
    tag=_TAG,
    may=("pos", "site", "admin"),
    body=SaleIn,
    query=SlipQuery,
    answers={201: SaleOut},
    conflicts=(
        *_CONFLICTS,
        "insufficient_points",
        "hold_not_open",
        "hold_expired",
        "quote_stale",
        "verification_required",
        "verification_used",
    ),
    idempotent=True,
    examples={
        "earn": sale_example("0001-000123"),
        "earn and redeem": {**sale_example("0001-000124"), "redeem": {"points": "1.50"}},
    },
)
async def post_receipt(call: Call[SaleIn, SlipQuery]) -> Answer:
    """The till's main call. Points are spent and earned in one transaction, or neither is."""
    request = request_of(call, "/v1/receipts", call.query.columns)
    command = await call.use(Sales).prepare(request, call.body)
    return await carry_out(call.use(Ledger), command)


@operation(
    "POST",
    "/v1/accruals",
    summary="Post a sale that only earns",
    tag=_TAG,
    may=("pos", "site", "finance", "admin"),
    body=AccrualIn,
    query=SlipQuery,
    answers={201: SaleOut},
    conflicts=(*_CONFLICTS, "approval_needed"),
    idempotent=True,
    examples={"earn": sale_example("0001-000125")},
)
async def post_accrual(call: Call[AccrualIn, SlipQuery]) -> Answer:
    """As a receipt, without redeeming. With `stated` (finance, admin) the points are not
    calculated but taken as they are: for receipts of another system. None of them may be more
    than `BONUS_ADJUSTMENT_APPROVAL_POINTS`."""
    request = request_of(call, "/v1/accruals", call.query.columns)
    command = await call.use(Sales).prepare(request, call.body)
    return await carry_out(call.use(Ledger), command)


@operation(
    "GET",
    "/v1/receipts/{store}/{number}",
    summary="Read a posted sale",
    tag=_TAG,
    may=("pos", "site", "finance", "support", "admin"),
    answers={200: StoredReceipt},
)
async def read_receipt(call: Call) -> Answer:
    """The sale, what corrects it, its postings, and the program versions it used. A channel
    without stores stands in the place of the store."""
    place, number = call.path["store"], call.path["number"]
    found = await call.use(Sales).read(place, number)
    call.principal.covers(found.channel, found.store)
    return Answer.json(found)


OPERATIONS = [post_receipt, post_accrual, read_receipt]
