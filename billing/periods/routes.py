"""Closing and reopening months over HTTP."""

from __future__ import annotations

from typing import Any
from zoneinfo import ZoneInfo

import msgspec

from billing.common.answer import Answer
from billing.common.auth import Role
from billing.common.http import Call, operation
from billing.periods.schemas import (
    ClosedOut,
    CloseIn,
    PeriodList,
    PeriodOut,
    PeriodQuery,
    ReopenIn,
    period_out,
)
from billing.periods.service import Periods, View

_TAG = "Ledger"
_PATH = "/v1/ledger/periods"
_ONE = f"{_PATH}/{{period}}"
_MAY: tuple[Role, ...] = ("finance", "admin")
_PATIENCE_S = 120


@operation(
    "GET", _PATH, summary="List closed months", tag=_TAG, may=("finance", "bi", "admin"),
    answers={200: PeriodList},
)  # fmt: skip
async def list_periods(call: Call) -> Answer:
    """Every month that was ever closed, newest first, with its trace. All at once: there are
    twelve a year."""
    zone = call.use(ZoneInfo)
    views = await call.use(Periods).all()
    return Answer.json(PeriodList([period_out(view, zone) for view in views], None))


@operation(
    "GET", _ONE, summary="Read a month", tag=_TAG, may=("finance", "bi", "admin"),
    query=PeriodQuery, answers={200: PeriodOut}, patience_s=_PATIENCE_S,
)  # fmt: skip
async def read_period(call: Call[None, PeriodQuery]) -> Answer:
    """Whether it is closed, its sealed totals, and who closed and reopened it."""
    periods = call.use(Periods)
    view = await periods.read(call.path["period"])
    agrees = await periods.agrees(view) if call.query.verify else None
    return Answer.json(period_out(view, call.use(ZoneInfo), agrees))


@operation(
    "POST", f"{_ONE}/close", summary="Close a month", tag=_TAG, may=_MAY, body=CloseIn,
    answers={200: ClosedOut}, patience_s=_PATIENCE_S,
    conflicts=("period_not_over", "period_not_next", "period_closed"),
    examples={"late receipts go into the open month": {"late": "post", "reason": "Month end"}},
)  # fmt: skip
async def close_period(call: Call[CloseIn]) -> Answer:
    """From then on nothing is recorded any more that happened in it or before, and its totals are
    sealed. What was due in it is posted first. Months are closed in order; the first one closes
    all before it. Closing a closed month changes nothing."""
    view, not_posted = await call.use(Periods).close(
        call.path["period"], call.body.late, call.body.reason, call.principal
    )
    made = period_out(view, call.use(ZoneInfo))
    return Answer.json(ClosedOut(**msgspec.structs.asdict(made), not_posted=not_posted))


@operation(
    "POST", f"{_ONE}/reopen", summary="Ask for a month to be reopened", tag=_TAG, may=_MAY,
    body=ReopenIn, answers={200: PeriodOut},
    conflicts=("period_not_closed", "period_not_last"),
    examples={"a correction": {"reason": "A receipt of the 30th was posted twice"}},
)  # fmt: skip
async def ask_to_reopen_period(call: Call[ReopenIn]) -> Answer:
    """Only the last closed month. It stays closed until somebody else approves, here or at
    `POST /v1/approvals/{id}/approve`: the event `reopen_requested` has the id of the approval."""
    periods = call.use(Periods)
    return _told(
        call,
        await periods.ask_to_reopen(call.path["period"], call.body.reason, call.principal),
    )


@operation(
    "POST", f"{_ONE}/reopen/approve", summary="Approve the reopening of a month", tag=_TAG,
    may=_MAY, answers={200: PeriodOut},
    conflicts=("own_approval", "period_no_request", "period_not_last"),
)  # fmt: skip
async def approve_reopening(call: Call) -> Answer:
    """By another person than the one who asked, with a key of their own."""
    periods = call.use(Periods)
    return _told(call, await periods.reopen(call.path["period"], call.principal))


@operation(
    "POST", f"{_ONE}/reopen/withdraw", summary="End a request to reopen a month", tag=_TAG,
    may=_MAY, answers={200: PeriodOut}, conflicts=("period_no_request",),
)  # fmt: skip
async def withdraw_reopening(call: Call) -> Answer:
    """The month stays closed."""
    periods = call.use(Periods)
    return _told(call, await periods.withdraw(call.path["period"], call.principal))


def _told(call: Call[Any, Any], view: View) -> Answer:
    return Answer.json(period_out(view, call.use(ZoneInfo)))


OPERATIONS = [
    list_periods,
    read_period,
    close_period,
    ask_to_reopen_period,
    approve_reopening,
    withdraw_reopening,
]
