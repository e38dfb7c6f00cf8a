"""Deferred revenue over HTTP."""

from __future__ import annotations

from typing import Any
from zoneinfo import ZoneInfo

from billing.common.answer import Answer
from billing.common.auth import Role
from billing.common.errors import Forbidden
from billing.common.http import Call, operation
from billing.finance.files import MEDIA_TYPES
from billing.finance.service import answer_file
from billing.finance.table import Column, Table, at_once
from billing.revenue.schemas import (
    JournalOut,
    JournalQuery,
    PolicyIn,
    PolicyList,
    PolicyOut,
    journal_out,
    policy_out,
)
from billing.revenue.service import Revenue
from billing.revenue.store import Journal

_TAG = "Ledger"
_PATH = "/v1/ledger/revenue"
_POLICIES = f"{_PATH}/policies"
_ONE = f"{_PATH}/{{period}}"
_MAY: tuple[Role, ...] = ("finance", "admin")
_READ: tuple[Role, ...] = ("finance", "bi", "admin")
_PATIENCE_S = 120
_EXAMPLES = {
    "95 % will be redeemed": {
        "effective_from": "2026-02",
        "point_price": "1.00",
        "expected_redemption": "0.95",
        "reason": "Redemption of the last two years",
    },
    "gifts are no part of a sale": {
        "program": "birthday",
        "effective_from": "2026-02",
        "deferred": False,
        "reason": "Given without a purchase",
    },
}


@operation(
    "POST", _POLICIES, summary="Set how revenue is deferred", tag=_TAG, may=_MAY, body=PolicyIn,
    answers={201: PolicyOut}, conflicts=("period_closed",), examples=_EXAMPLES,
)  # fmt: skip
async def put_revenue_policy(call: Call[PolicyIn]) -> Answer:
    """From a month on, for one program or for all. Earlier policies stay in the history: what a
    month was allocated stays, and a new expectation is caught up in the month it counts from."""
    _whole(call)
    body = call.body
    row = await call.use(Revenue).put_policy(
        body.program, str(body.effective_from), body.policy(), body.reason, call.principal
    )
    return Answer.json(policy_out(row, call.use(ZoneInfo)), 201)


@operation(
    "GET", _POLICIES, summary="List how revenue is deferred", tag=_TAG, may=_READ,
    answers={200: PolicyList},
)  # fmt: skip
async def list_revenue_policies(call: Call) -> Answer:
    """With the whole history, by the month they count from; of two for one month the later."""
    zone = call.use(ZoneInfo)
    rows = await call.use(Revenue).policies()
    return Answer.json(PolicyList([policy_out(row, zone) for row in rows], None))


@operation(
    "GET", _ONE, summary="Read a month's deferred revenue", tag=_TAG, may=_READ,
    query=JournalQuery, answers={200: JournalOut}, patience_s=_PATIENCE_S,
    files=tuple(kind.decode().split(";")[0] for kind in MEDIA_TYPES.values()),
)  # fmt: skip
async def read_revenue(call: Call[None, JournalQuery]) -> Answer:
    """What moved by program, the entries to post, and the cohorts behind them (IFRS 15, ASC 606;
    docs/finance.md has the arithmetic). A file has the entries. Not frozen, it is a forecast."""
    _whole(call)
    journal, frozen = await call.use(Revenue).journal(call.path["period"])
    if call.query.format != "json":
        return await answer_file(_table(journal, frozen), call.query.format, call.use(ZoneInfo))
    return Answer.json(journal_out(journal, frozen))


@operation(
    "POST", _ONE, summary="Freeze a month's deferred revenue", tag=_TAG, may=_MAY,
    answers={200: JournalOut}, conflicts=("period_not_closed",), patience_s=_PATIENCE_S,
)  # fmt: skip
async def freeze_revenue(call: Call) -> Answer:
    """Of a closed month: the entries to post, the same at every call."""
    _whole(call)
    return Answer.json(
        journal_out(await call.use(Revenue).freeze(call.path["period"], call.principal), True)
    )


def _whole(call: Call[Any, Any]) -> None:
    """Revenue is of the whole chain."""
    if call.principal.channel is not None or call.principal.store is not None:
        raise Forbidden("A key bound to a channel or store may not see the chain's revenue.")


def _table(journal: Journal, frozen: bool) -> Table:
    names = ("document", "id", "period", "program", "what", "debit", "credit")
    head = (journal.document, journal.period)
    rows = [
        (head[0], one.id, head[1], one.program, one.what, one.debit, one.credit, one.amount)
        for one in journal.entries
    ]
    return Table(
        report="deferred-revenue",
        title=f"Deferred revenue {journal.period}",
        filters={
            "document": journal.document,
            "frozen": "yes" if frozen else "no",
            "replaces": journal.replaces or "-",
        },
        columns=(*(Column(name) for name in names), Column("amount", "amount")),
        chunks=at_once(rows),
    )


OPERATIONS = [put_revenue_policy, list_revenue_policies, read_revenue, freeze_revenue]
