"""Merging customers over HTTP."""

from __future__ import annotations

from uuid import UUID

from billing.approvals.schemas import WaitingOut
from billing.common.answer import Answer
from billing.common.errors import NotFound
from billing.common.http import Call, Operation, operation
from billing.customers.routes import customer_id_of
from billing.customers.schemas import MergeIn, MergeOut, MergePage
from billing.merges.service import Merges

_TAG = "Customers"
_SOMEBODY = "0196f3c8-0000-7000-8000-000000000000"


@operation("POST", "/v1/customers/{id}/merge", summary="Merge a duplicate into a customer",
           tag=_TAG, may=("support", "admin"), body=MergeIn,
           answers={200: MergeOut, 202: WaitingOut},
           conflicts=("customer_merged", "customer_erased", "customer_blocked",
                      "merge_not_possible", "balance_limit", "approval_pending"),
           examples={"twice": {"into": _SOMEBODY, "reason": "one person"}})  # fmt: skip
async def merge_customer(call: Call[MergeIn]) -> Answer:
    """The duplicate's points, deferred ones and debt included, become those of `into`, who is
    found from now on by the phone, cards and ids of both. Safe to repeat.

    More points of both than `BONUS_MERGE_APPROVAL_POINTS`, or more by one person within 24 hours
    than `BONUS_PERSON_APPROVAL_POINTS`, need a second person: 202 with an `approval_id`, and
    nothing happens before somebody else approves it."""
    made = await call.use(Merges).merge(call.principal, customer_id_of(call), call.body)
    return Answer.json(made, 202 if isinstance(made, WaitingOut) else 200)


@operation("GET", "/v1/customers/{id}/merges", summary="List a customer's merges", tag=_TAG,
           may=("support", "finance", "admin"), answers={200: MergePage})  # fmt: skip
async def list_merges(call: Call) -> Answer:
    """Of either side, newest first."""
    found = await call.use(Merges).of_customer(customer_id_of(call))
    return Answer.json(MergePage(found, None))


@operation("POST", "/v1/merges/{id}/undo", summary="Undo a merge", tag=_TAG,
           may=("support", "admin"), answers={200: MergeOut},
           conflicts=("merge_not_possible", "balance_limit"))  # fmt: skip
async def undo_merge(call: Call) -> Answer:
    """Both are customers of their own again. What is left of the points that the merge moved goes
    back, `points` tells how many did not. Safe to repeat."""
    try:
        merge_id = UUID(call.path["id"])
    except ValueError:
        raise NotFound(f"There is no merge {call.path['id']!r}.") from None
    return Answer.json(await call.use(Merges).undo(call.principal, merge_id))


OPERATIONS: list[Operation] = [merge_customer, list_merges, undo_merge]
