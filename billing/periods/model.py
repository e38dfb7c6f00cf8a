"""A month in the chain's time zone, and what is sealed of it. Pure."""

from __future__ import annotations

import hashlib
import re
from collections.abc import Iterable
from datetime import datetime
from typing import Any, Final, Literal
from uuid import UUID
from zoneinfo import ZoneInfo

import msgspec

from billing.common.errors import ValidationFailed
from ledger.flows import ACCOUNTS
from ledger.sums import FlowSum
from ledger.totals import order

EventKind = Literal["closed", "reopen_requested", "reopen_withdrawn", "reopened"]
State = Literal["open", "closing", "closed", "reopen_requested"]
Late = Literal["refuse", "post"]
"""What becomes of what comes later and happened in a closed month: it is refused, or posted into
the open one with a reference."""

FIRST_YEAR: Final = 1970
LAST_YEAR: Final = 2200
_NAME: Final = re.compile(r"([0-9]{4})-(0[1-9]|1[0-2])", re.ASCII)


class Period(msgspec.Struct, frozen=True, order=True):
    """A month. `starts` is in it, `ends` is not."""

    name: str
    starts: datetime
    ends: datetime

    @classmethod
    def of(cls, name: str, zone: ZoneInfo, pointer: str = "/path/period") -> Period:
        """The month `2026-01`. Raises ValidationFailed."""
        found = _NAME.fullmatch(name)
        if found is None or not FIRST_YEAR < int(found[1]) < LAST_YEAR:
            raise ValidationFailed.at(pointer, 'must be a month such as "2026-01"')
        year, month = int(found[1]), int(found[2])
        return cls(name, _first(year, month, zone), _first(year, month + 1, zone))

    @classmethod
    def at(cls, moment: datetime, zone: ZoneInfo) -> Period:
        """The month a moment lies in."""
        local = moment.astimezone(zone)
        return cls.of(f"{local.year:04d}-{local.month:02d}", zone)

    def next(self, zone: ZoneInfo) -> Period:
        return Period.at(self.ends, zone)

    def previous(self, zone: ZoneInfo) -> Period:
        year, month = int(self.name[:4]), int(self.name[5:])
        earlier = f"{year - (month == 1):04d}-{month - 1 or 12:02d}"
        return Period.of(earlier, zone)


def _first(year: int, month: int, zone: ZoneInfo) -> datetime:
    if month > 12:
        year, month = year + 1, month - 12
    return datetime(year, month, 1, tzinfo=zone)


class Event(msgspec.Struct, frozen=True):
    """A row of billing.period_events."""

    id: UUID
    period: str
    kind: EventKind
    at: datetime
    key_id: UUID
    author: str
    reason: str | None
    late: Late | None
    request_id: UUID | None
    sealed: dict[str, Any] | None
    digest: str | None


class Sealed(msgspec.Struct, frozen=True):
    """The totals of a month: what flowed in it, and every account's balance at its end.

    `digest` is the SHA-256 over the month's flows by all dimensions and these balances, so that
    no part of it can change unseen.
    """

    totals: dict[str, Any]
    digest: str


def seal(period: Period, zone: ZoneInfo, flows: list[FlowSum], until: list[FlowSum]) -> Sealed:
    """`flows`: of the month, by all dimensions; `until`: all before its end, without any."""
    balances = dict.fromkeys(ACCOUNTS, 0)
    for flow in until:
        balances[flow.debit] -= flow.amount
        balances[flow.credit] += flow.amount
    sums: dict[tuple[str, str, str], list[int]] = {}
    for flow in flows:
        total = sums.setdefault((flow.kind, flow.debit, flow.credit), [0, 0])
        total[0] += flow.amount
        total[1] += flow.count
    totals = {
        "zone": zone.key,
        "starts": period.starts.isoformat(),
        "ends": period.ends.isoformat(),
        "flows": [[*flow, *total] for flow, total in sorted(sums.items())],
        "balances": balances,
    }
    return Sealed(totals, _digest(period, flows, balances))


def _digest(period: Period, flows: Iterable[FlowSum], balances: dict[Any, int]) -> str:
    lines = sorted(flows, key=lambda one: (one.kind, one.debit, one.credit, order(one.dimensions)))
    whole = hashlib.sha256()
    for part in (
        [period.name, period.starts.isoformat(), period.ends.isoformat()],
        *([f.kind, f.debit, f.credit, *f.dimensions, f.amount, f.count] for f in lines),
        sorted(balances.items()),
    ):
        whole.update(msgspec.json.encode(part) + b"\n")
    return whole.hexdigest()
