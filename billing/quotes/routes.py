"""Quotes over HTTP."""

from __future__ import annotations

from billing.common.answer import Answer
from billing.common.http import Call, operation
from billing.quotes.schemas import QuoteIn, QuoteOut
from billing.quotes.service import Quotes
from billing.receipts.examples import sale_example
from billing.receipts.slip import language_of


@operation(
    "POST",
    "/v1/quotes",
    summary="Calculate a sale without posting it",
    tag="Sales",
    may=("pos", "site", "support", "admin"),
    body=QuoteIn,
    answers={200: QuoteOut},
    conflicts=(
        "customer_not_verified",
        "customer_blocked",
        "insufficient_points",
        "balance_limit",
    ),
    examples={"all points": {**sale_example("0001-000126"), "redeem": "max"}},
)
async def post_quote(call: Call[QuoteIn]) -> Answer:
    """What the receipt earns, how much of it points may pay, and why. Nothing moves. A sale that
    names the `quote_id` happens just as quoted; the receipt's number may still change."""
    language = language_of(call.headers.get(b"accept-language"))
    return Answer.json(await call.use(Quotes).quote(call.principal, call.body, language))


OPERATIONS = [post_quote]
