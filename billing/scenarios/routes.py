"""Events over HTTP."""

from __future__ import annotations

from billing.common.answer import Answer
from billing.common.http import Call, operation
from billing.receipts.examples import CUSTOMER
from billing.receipts.slip import language_of
from billing.scenarios.schemas import EventIn, EventOut
from billing.scenarios.service import PATH, EventRequest, Events


@operation(
    "POST",
    PATH,
    summary="Post an event of a customer",
    tag="Events",
    may=("pos", "site", "admin"),
    body=EventIn,
    answers={201: EventOut},
    conflicts=(
        "event_exists",
        "customer_not_verified",
        "customer_blocked",
        "balance_limit",
        "period_closed",
    ),
    idempotent=True,
    examples={
        "birthday": {
            "customer": CUSTOMER,
            "event": "birthday",
            "occurred_at": "2026-01-15T09:00:00-05:00",
        },
        "own": {
            "customer": CUSTOMER,
            "event": "survey",
            "id": "survey-2026-01",
            "occurred_at": "2026-01-15T14:03:00-05:00",
            "channel": "shop",
        },
    },
)
async def post_event(call: Call[EventIn]) -> Answer:
    """Gives what the scenarios for it give. The same occurrence gives once, whatever its
    Idempotency-Key: a birthday once a year, a referral once a referred customer, an event of
    your own once per `id`. Registration, verification and the first purchase are not sent: they
    happen by themselves. When nothing is given, `id` is null and `explanation` says why.

    What a referral gives to the referred customer is on that customer's statement."""
    request = EventRequest(
        call.principal,
        call.idempotency_key,
        call.request_id,
        PATH,
        call.raw,
        language_of(call.headers.get(b"accept-language")),
    )
    return await call.use(Events).post(request, call.body)


OPERATIONS = [post_event]
