"""A person's rights over HTTP."""

from __future__ import annotations

from billing.common.answer import Answer
from billing.common.http import Call, Operation, operation
from billing.customers.routes import customer_id_of
from billing.customers.schemas import ErasedOut, EraseIn
from billing.persons.schemas import PersonOut
from billing.persons.service import Persons

_TAG = "Customers"


@operation("GET", "/v1/customers/{id}/export", summary="All that is kept of a person", tag=_TAG,
           may=("site", "support", "admin"), answers={200: PersonOut})  # fmt: skip
async def export_person(call: Call) -> Answer:
    """For who asks what is kept of them: data, consents word for word, verifications, messages,
    points, and the same of duplicates that were merged."""
    return Answer.json(await call.use(Persons).export(call.principal, customer_id_of(call)))


@operation("POST", "/v1/customers/{id}/erase", summary="Erase a person's data", tag=_TAG,
           may=("support", "admin"), body=EraseIn, answers={200: ErasedOut},
           conflicts=("customer_merged",),
           examples={"request": {"reason": "request 2026-117"}})  # fmt: skip
async def erase_person(call: Call[EraseIn]) -> Answer:
    """For good: phone, name, cards, ids, texts. The customer is blocked, and the ledger keeps
    points under the id alone. Duplicates merged into the customer are erased with them. Safe to
    repeat. The phone may be registered anew, as another customer."""
    service, customer_id = call.use(Persons), customer_id_of(call)
    return Answer.json(await service.erase(call.principal, customer_id, call.body.reason))


OPERATIONS: list[Operation] = [export_person, erase_person]
