"""Returns over HTTP."""

from __future__ import annotations

from billing.common.answer import Answer
from billing.common.http import Call, operation
from billing.common.teller import carry_out
from billing.receipts.examples import CUSTOMER
from billing.receipts.routes import request_of
from billing.receipts.schemas import SlipQuery
from billing.returns.schemas import ReturnIn, ReturnOut, StoredReturn
from billing.returns.service import PATH, Returns
from ledger.service import Ledger

_TAG = "Sales"
_EXAMPLE = {
    "channel": "shop",
    "store": "333",
    "number": "R-0001",
    "occurred_at": "2026-01-16T11:30:00-05:00",
}


@operation(
    "POST",
    PATH,
    summary="Take goods back",
    tag=_TAG,
    may=("pos", "site", "finance", "admin"),
    body=ReturnIn,
    query=SlipQuery,
    answers={201: ReturnOut},
    conflicts=(
        "return_exceeds_sale",
        "return_exists",
        "points_already_spent",
        "insufficient_points",
        "balance_limit",
        "period_closed",
    ),
    idempotent=True,
    examples={
        "a line": {
            **_EXAMPLE,
            "receipt_number": "0001-000123",
            "lines": [{"line": 1, "quantity": "1"}],
        },
        "all that is left": {**_EXAMPLE, "number": "R-0002", "receipt_number": "0001-000124"},
        "without the receipt": {
            **_EXAMPLE,
            "number": "R-0003",
            "customer": CUSTOMER,
            "points": {"revoke": "0.00", "restore": "1.00"},
            "reason": "The receipt is lost, claim 4711",
        },
    },
)
async def post_return(call: Call[ReturnIn, SlipQuery]) -> Answer:
    """What the goods earned is taken back, and what points paid of them is given back to its own
    lots: in proportion, over all returns of the receipt together never more than the sale.
    Without `lines` everything that is left comes back. The programs that gave decide what happens
    when the points are spent. Without the receipt only finance and admin may move points."""
    request = request_of(call, PATH, call.query.columns)
    command = await call.use(Returns).prepare(request, call.body)
    return await carry_out(call.use(Ledger), command)


@operation(
    "GET",
    "/v1/returns/{store}/{number}",
    summary="Read a posted return",
    tag=_TAG,
    may=("pos", "site", "finance", "support", "admin"),
    answers={200: StoredReturn},
)
async def read_return(call: Call) -> Answer:
    """The return with its lines and postings. A channel without stores stands in the place of the
    store."""
    place, number = call.path["store"], call.path["number"]
    return Answer.json(await call.use(Returns).read(call.principal, place, number))


OPERATIONS = [post_return, read_return]
