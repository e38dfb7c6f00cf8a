"""Verifications over HTTP."""

from __future__ import annotations

from typing import Any, Final
from uuid import UUID

from billing.common.answer import Answer
from billing.common.errors import NotFound
from billing.common.http import Call, Operation, operation
from billing.customers.routes import WRITERS, customer_id_of
from billing.scenarios.waiting import WaitingScenarios
from billing.verifications.schemas import (
    ConfirmIn,
    VerificationIn,
    VerificationOut,
    verification_out,
)
from billing.verifications.service import Verifications
from ledger.service import Ledger

_TAG = "Verification"
PATIENCE_S: Final = 25.0
"""Some checks are made by a provider, who takes longer than our own database."""
_CUSTOMER = ("customer_blocked", "customer_merged", "customer_erased")


@operation("POST", "/v1/customers/{id}/verifications", summary="Send a code", tag=_TAG,
           may=WRITERS, body=VerificationIn, answers={200: VerificationOut, 201: VerificationOut},
           conflicts=_CUSTOMER, limited=True, patience_s=PATIENCE_S,
           examples={"registration": {"purpose": "registration", "store": "333"},
                     "redemption": {"purpose": "redemption", "points": "500.00"}})  # fmt: skip
async def start_verification(call: Call[VerificationIn]) -> Answer:
    """Safe to repeat: while a code was sent just now the same verification comes again (200).
    The answer does not tell whether somebody else has the phone."""
    service = call.use(Verifications)
    customer_id = customer_id_of(call)
    found, sent = await service.start(call.principal, customer_id, call.body, call.peer)
    return Answer.json(_shown(call, found), 201 if sent else 200)


@operation("GET", "/v1/verifications/{id}", summary="Look at a verification", tag=_TAG,
           may=WRITERS, answers={200: VerificationOut})  # fmt: skip
async def get_verification(call: Call) -> Answer:
    """Its state, how many attempts are left, and where its message is."""
    found, delivery = await call.use(Verifications).get(_id(call))
    return Answer.json(verification_out(found, call.use(Ledger).clock(), delivery))


@operation("POST", "/v1/verifications/{id}/confirm", summary="Confirm by the code", tag=_TAG,
           may=WRITERS, body=ConfirmIn, answers={200: VerificationOut},
           conflicts=("verification_failed", "customer_exists", *_CUSTOMER),
           patience_s=PATIENCE_S,
           examples={"code": {"code": "123456"}})  # fmt: skip
async def confirm_verification(call: Call[ConfirmIn]) -> Answer:
    """Five attempts. Safe to repeat with the same code. Every code that does not confirm, of
    whatever verification, gets the same 409 `verification_failed`."""
    found = await call.use(Verifications).confirm(_id(call), str(call.body.code))
    if found.purpose == "registration":
        await call.use(WaitingScenarios).hurry(found.customer_id)
    return Answer.json(_shown(call, found))


@operation("POST", "/v1/verifications/{id}/resend", summary="Send another code", tag=_TAG,
           may=WRITERS, answers={200: VerificationOut},
           conflicts=("verification_not_open", *_CUSTOMER), limited=True,
           patience_s=PATIENCE_S)  # fmt: skip
async def resend_verification(call: Call) -> Answer:
    """The code before is no longer good. The pause between two grows: 30 s, 1, 2, 4 … minutes."""
    found = await call.use(Verifications).resend(call.principal, _id(call), call.peer)
    return Answer.json(_shown(call, found))


def _shown(call: Call[Any, Any], found: Any) -> VerificationOut:
    return verification_out(found, call.use(Ledger).clock(), None)


def _id(call: Call[Any, Any]) -> UUID:
    try:
        return UUID(call.path["id"])
    except ValueError:
        raise NotFound(f"There is no verification {call.path['id']!r}.") from None


OPERATIONS: list[Operation] = [
    start_verification,
    get_verification,
    confirm_verification,
    resend_verification,
]
