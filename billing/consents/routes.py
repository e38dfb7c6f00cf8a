"""Consents over HTTP."""

from __future__ import annotations

from billing.common.answer import Answer
from billing.common.http import Call, Operation, operation
from billing.consents.schemas import ConsentIn, ConsentOut, ConsentPage, consent_out
from billing.consents.service import Consents
from billing.customers.routes import customer_id_of

_TAG = "Customers"


@operation("GET", "/v1/customers/{id}/consents", summary="Read a customer's consents", tag=_TAG,
           may=("site", "support", "admin"), answers={200: ConsentPage})  # fmt: skip
async def read_consents(call: Call) -> Answer:
    """All there are, newest first, of merged duplicates, too: the last of a kind is what stands."""
    found = await call.use(Consents).of_customer(customer_id_of(call))
    return Answer.json(ConsentPage([consent_out(one, text) for one, text in found], None))


@operation("POST", "/v1/customers/{id}/consents", summary="Give or withdraw a consent", tag=_TAG,
           may=("pos", "site", "support", "admin"), body=ConsentIn, answers={201: ConsentOut},
           conflicts=("customer_merged", "customer_erased"),
           examples={"no messages": {"kind": "messages", "action": "withdrawn"}})  # fmt: skip
async def write_consent(call: Call[ConsentIn]) -> Answer:
    """To the processing of personal data one consents by a verification. Who withdraws that is
    unverified from then on; who withdraws `messages` gets codes only."""
    customer_id = customer_id_of(call)
    made = await call.use(Consents).enter(call.principal, customer_id, call.body)
    return Answer.json(consent_out(made, call.body.text), 201)


OPERATIONS: list[Operation] = [read_consents, write_consent]
