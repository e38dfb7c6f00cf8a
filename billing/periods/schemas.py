"""Months on the wire."""

from __future__ import annotations

from datetime import datetime
from typing import Annotated
from uuid import UUID
from zoneinfo import ZoneInfo

import msgspec

from billing.common.money import format_amount
from billing.finance.behind import flow
from billing.periods.model import EventKind, Late, State
from billing.periods.service import View
from ledger.flows import Account

Reason = Annotated[str, msgspec.Meta(min_length=1, max_length=500)]


class CloseIn(msgspec.Struct, forbid_unknown_fields=True, kw_only=True):
    """`late`: what becomes of a receipt that comes later and happened in the month. `refuse`: it
    hears 409 `period_closed`; `post`: it is posted into the open period, with a reference."""

    late: Late = "refuse"
    reason: Reason | None = None


class ReopenIn(msgspec.Struct, forbid_unknown_fields=True, kw_only=True):
    reason: Reason


class PeriodEventOut(msgspec.Struct, forbid_unknown_fields=True, kw_only=True):
    id: UUID
    kind: EventKind
    at: datetime
    author: str
    reason: str | None
    late: Late | None
    request_id: UUID | None
    digest: str | None


class SealedFlowOut(msgspec.Struct, forbid_unknown_fields=True, kw_only=True):
    kind: str
    debit: Account
    credit: Account
    points: str
    postings: int
    listed: str


class SealedOut(msgspec.Struct, forbid_unknown_fields=True, kw_only=True):
    """The month's totals as they were sealed; `listed` is where a flow's postings are. `balances`:
    credit less debit of every account at the month's end; `digest`: SHA-256 over the month by all
    dimensions. `agrees`: whether the ledger still comes to it; null when that was not asked for."""

    zone: str
    flows: list[SealedFlowOut]
    balances: dict[Account, str]
    digest: str
    agrees: bool | None


class PeriodOut(msgspec.Struct, forbid_unknown_fields=True, kw_only=True):
    """`closing`: it was begun and not finished; close it again."""

    period: str
    state: State
    starts: datetime
    ends: datetime
    late: Late | None
    sealed: SealedOut | None
    events: list[PeriodEventOut]


class ClosedOut(PeriodOut, forbid_unknown_fields=True, kw_only=True):
    """`not_posted`: customers with something due in the month that no sweep can post (counted up
    to 10,000; GET /v1/work names them): it will be posted into the open period."""

    not_posted: int


class PeriodList(msgspec.Struct, forbid_unknown_fields=True):
    items: list[PeriodOut]
    next_cursor: str | None


class PeriodQuery(msgspec.Struct, forbid_unknown_fields=True, kw_only=True):
    verify: Annotated[
        bool,
        msgspec.Meta(description="Add the month up again and compare it with what was sealed."),
    ] = False


def period_out(view: View, zone: ZoneInfo, agrees: bool | None = None) -> PeriodOut:
    closed = view.closed
    return PeriodOut(
        period=view.period.name,
        state=view.state,
        starts=view.period.starts,
        ends=view.period.ends,
        late=closed.late if closed is not None else None,
        sealed=_sealed(view, agrees),
        events=[
            PeriodEventOut(
                id=one.id,
                kind=one.kind,
                at=one.at.astimezone(zone),
                author=one.author,
                reason=one.reason,
                late=one.late,
                request_id=one.request_id,
                digest=one.digest,
            )
            for one in view.events
        ],
    )


def _sealed(view: View, agrees: bool | None) -> SealedOut | None:
    closed = view.closed
    if closed is None or closed.sealed is None or closed.digest is None:
        return None
    return SealedOut(
        zone=closed.sealed["zone"],
        flows=[
            SealedFlowOut(
                kind=kind,
                debit=debit,
                credit=credit,
                points=format_amount(amount),
                postings=count,
                listed=flow(kind, debit, credit, view.period.starts, view.period.ends),
            )
            for kind, debit, credit, amount, count in closed.sealed["flows"]
        ],
        balances={name: format_amount(sum_) for name, sum_ in closed.sealed["balances"].items()},
        digest=closed.digest,
        agrees=agrees,
    )
