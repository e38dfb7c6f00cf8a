"""Approvals over HTTP."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import Any
from uuid import UUID

from billing.approvals import store
from billing.approvals.schemas import (
    ApprovalOut,
    ApprovalPage,
    ApprovalsQuery,
    RejectIn,
    approval_out,
)
from billing.approvals.service import Approvals
from billing.common.answer import Answer
from billing.common.auth import Role
from billing.common.db import Database
from billing.common.errors import ValidationFailed
from billing.common.http import Call, Operation, operation
from billing.common.wire import page

_TAG = "Approvals"
_ONE = "/v1/approvals/{id}"
_READERS: tuple[Role, ...] = ("marketer", "finance", "admin")
_DECIDERS: tuple[Role, ...] = ("finance", "admin")
_CONFLICTS = (
    "approval_state", "own_approval", "campaign_own_approval", "period_no_request",
    "period_not_last",
)  # fmt: skip
_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
_INSTANT = timedelta(microseconds=1)


@operation(
    "GET", "/v1/approvals", summary="List approvals", tag=_TAG, may=_READERS,
    query=ApprovalsQuery, answers={200: ApprovalPage},
)  # fmt: skip
async def list_approvals(call: Call[None, ApprovalsQuery]) -> Answer:
    """What waits for a second person, and what was decided; the newest first."""
    call.principal.covers(None, None)
    query = call.query
    after: Any = query.after(int, UUID)
    place = None if after is None else (_moment(after[0]), after[1])
    found = await store.read_page(call.use(Database), query.state, query.kind, place, query.limit)
    last = ((found[-1].asked_at - _EPOCH) // _INSTANT, found[-1].id) if found else ()
    return Answer.json(page([approval_out(one) for one in found], query.limit, *last))


@operation("GET", _ONE, summary="Read an approval", tag=_TAG, may=_READERS,
           answers={200: ApprovalOut})  # fmt: skip
async def read_approval(call: Call) -> Answer:
    call.principal.covers(None, None)
    return Answer.json(approval_out(await call.use(Approvals).read(_id(call))))


@operation(
    "POST", f"{_ONE}/approve", summary="Approve", tag=_TAG, may=_DECIDERS,
    answers={200: ApprovalOut}, conflicts=_CONFLICTS, patience_s=10,
)  # fmt: skip
async def approve(call: Call) -> Answer:
    """Let it happen, by somebody else than who asked. It is carried out at once: `done`, or
    `failed` when the state has come to refuse it. May be repeated after a 503."""
    done = await call.use(Approvals).approve(_id(call), call.principal)
    return Answer.json(approval_out(done))


@operation(
    "POST", f"{_ONE}/reject", summary="Reject", tag=_TAG, may=_DECIDERS, body=RejectIn,
    answers={200: ApprovalOut}, conflicts=_CONFLICTS,
    examples={"no": {"reason": "No claim 4711 is known to us"}},
)  # fmt: skip
async def reject(call: Call[RejectIn]) -> Answer:
    """It does not happen; the reason is kept. A campaign becomes a draft again."""
    done = await call.use(Approvals).reject(_id(call), str(call.body.reason), call.principal)
    return Answer.json(approval_out(done))


@operation(
    "POST", f"{_ONE}/withdraw", summary="Withdraw what one asked for", tag=_TAG, may=_READERS,
    answers={200: ApprovalOut}, conflicts=_CONFLICTS,
)  # fmt: skip
async def withdraw(call: Call) -> Answer:
    done = await call.use(Approvals).withdraw(_id(call), call.principal)
    return Answer.json(approval_out(done))


def _id(call: Call[Any, Any]) -> UUID:
    try:
        return UUID(call.path["id"])
    except ValueError:
        raise ValidationFailed.at("/path/id", "must be an approval's id, a UUID") from None


def _moment(since: int) -> datetime:
    try:
        return _EPOCH + since * _INSTANT
    except OverflowError:
        raise ValidationFailed.at(
            "/query/cursor", "is not a cursor of this list; start again without it"
        ) from None


OPERATIONS: list[Operation] = [list_approvals, read_approval, approve, reject, withdraw]
