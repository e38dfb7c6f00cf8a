"""The journal's transactions as events: pure, and the same events each time.

    accrue                  points.accrued         release                 points.released
    redeem, capture         points.redeemed        activate                points.activated
    hold                    points.held            expire                  points.expired

A sale may both redeem and accrue: two events, in that order. Whatever a return moves is one
receipt.returned, and whatever a hand, a transfer or a reversal moves one points.adjusted. A
transaction that moves nothing tells nothing.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterable, Mapping, Sequence
from datetime import datetime
from typing import Any, Final
from uuid import UUID

import msgspec

from billing.balances.model import receipt_of
from billing.common.money import format_amount
from billing.events.model import Event, event_id
from billing.events.schemas import (
    AccruedPart,
    Balance,
    ByBucket,
    PointsAccrued,
    PointsActivated,
    PointsAdjusted,
    PointsData,
    PointsExpired,
    PointsHeld,
    PointsRedeemed,
    PointsReleased,
    ReceiptReturned,
)
from ledger.flows import CUSTOMER_ACCOUNTS, Account, Bucket, Kind, TransactionKind


class Movement(msgspec.Struct, frozen=True):
    """A posting, as far as events tell of it."""

    kind: Kind
    debit: Account
    credit: Account
    amount: int
    bucket: Bucket
    active_from: datetime
    expires_at: datetime | None
    program: str | None

    @property
    def net(self) -> int:
        """By how much the customer owns more; to pay a debt is to own more, too."""
        return self.amount * (
            (self.credit in CUSTOMER_ACCOUNTS) - (self.debit in CUSTOMER_ACCOUNTS)
        )


class Entry(msgspec.Struct, frozen=True):
    """A transaction with its postings. `corrected` is the source of what it corrects."""

    xid: int
    customer_id: UUID
    version: int
    id: UUID
    kind: TransactionKind
    occurred_at: datetime
    available_after: int
    promo_after: int
    deferred_after: int
    held_after: int
    debt_after: int
    corrects: UUID | None
    hold_id: UUID | None
    hold_expires_at: datetime | None
    source: str | None
    channel: str | None
    store: str | None
    corrected: str | None
    movements: Sequence[Movement]


def events_of(entry: Entry) -> list[Event]:
    """What a transaction tells, in order."""
    if not entry.movements:
        return []
    if entry.kind in _AS_A_WHOLE:
        return [_event(entry, _AS_A_WHOLE[entry.kind](entry, entry.movements))]
    told = []
    for kinds, make in _BY_POSTING:
        moved = [one for one in entry.movements if one.kind in kinds]
        if moved:
            told.append(_event(entry, make(entry, moved)))
    return told


Maker = Callable[[Entry, Sequence[Movement]], PointsData]


def _activated(entry: Entry, moved: Sequence[Movement]) -> PointsData:
    return PointsActivated(**_common(entry, moved))


def _expired(entry: Entry, moved: Sequence[Movement]) -> PointsData:
    return PointsExpired(**_common(entry, moved))


def _held(entry: Entry, moved: Sequence[Movement]) -> PointsData:
    return PointsHeld(
        **_common(entry, moved), hold_id=entry.hold_id, hold_expires_at=entry.hold_expires_at
    )


def _released(entry: Entry, moved: Sequence[Movement]) -> PointsData:
    return PointsReleased(**_common(entry, moved), hold_id=entry.hold_id)


def _redeemed(entry: Entry, moved: Sequence[Movement]) -> PointsData:
    return PointsRedeemed(**_common(entry, moved), hold_id=entry.hold_id)


def _accrued(entry: Entry, moved: Sequence[Movement]) -> PointsData:
    parts: Counter[tuple[Bucket, str | None, datetime, datetime | None]] = Counter()
    for one in moved:
        parts[one.bucket, one.program, one.active_from, one.expires_at] += one.amount
    return PointsAccrued(
        **_common(entry, moved),
        deferred=_sum(one for one in moved if one.credit == "deferred"),
        debt_paid=_sum(one for one in moved if one.credit == "debt"),
        parts=[
            AccruedPart(bucket, format_amount(points), program, since, until)
            for (bucket, program, since, until), points in parts.items()
        ],
    )


def _adjusted(entry: Entry, moved: Sequence[Movement]) -> PointsData:
    return PointsAdjusted(**_common(entry, moved, signed=True))


def _returned(entry: Entry, moved: Sequence[Movement]) -> PointsData:
    taken = [one for one in moved if one.net < 0]
    common = _common(entry, moved, signed=True)
    return ReceiptReturned(
        **common | {"receipt": receipt_of(entry.corrected) or common["receipt"]},
        number=_number_of_return(entry.source),
        revoked=_by_bucket((one.bucket, one.amount) for one in taken),
        restored=_by_bucket((one.bucket, one.amount) for one in moved if one.net > 0),
        owed=_sum(one for one in taken if one.debit == "debt"),
    )


_BY_POSTING: Final[tuple[tuple[tuple[Kind, ...], Maker], ...]] = (
    (("hold",), _held),
    (("redeem", "capture"), _redeemed),
    (("release",), _released),
    (("accrue",), _accrued),
    (("activate",), _activated),
    (("expire",), _expired),
)

_AS_A_WHOLE: Final[Mapping[TransactionKind, Maker]] = {
    "return": _returned,
    "revocation": _returned,
    "restoration": _returned,
    "adjustment": _adjusted,
    "transfer_out": _adjusted,
    "transfer_in": _adjusted,
    "reversal": _adjusted,
}


def _event(entry: Entry, data: PointsData) -> Event:
    return Event(
        event_id(entry.id, data.TYPE),
        data.TYPE,
        entry.occurred_at,
        entry.customer_id,
        msgspec.json.encode(data),
        entry.xid,
    )


def _common(entry: Entry, moved: Sequence[Movement], *, signed: bool = False) -> dict[str, Any]:
    programs = dict.fromkeys(one.program for one in moved if one.program is not None)
    return {
        "customer_id": entry.customer_id,
        "transaction_id": entry.id,
        "version": entry.version,
        "kind": entry.kind,
        "points": _by_bucket((one.bucket, one.net if signed else one.amount) for one in moved),
        "balance": Balance(
            available=format_amount(entry.available_after),
            base=format_amount(entry.available_after - entry.promo_after),
            promo=format_amount(entry.promo_after),
            held=format_amount(entry.held_after),
            deferred=format_amount(entry.deferred_after),
            debt=format_amount(entry.debt_after),
        ),
        "channel": entry.channel,
        "store": entry.store,
        "receipt": receipt_of(entry.source),
        "programs": list(programs),
        "corrects": entry.corrects,
    }


def _by_bucket(amounts: Iterable[tuple[Bucket, int]]) -> ByBucket:
    sums: Counter[Bucket] = Counter()
    for bucket, amount in amounts:
        sums[bucket] += amount
    return ByBucket(
        total=format_amount(sums["base"] + sums["promo"]),
        base=format_amount(sums["base"]),
        promo=format_amount(sums["promo"]),
    )


def _sum(moved: Iterable[Movement]) -> str:
    return format_amount(sum(one.amount for one in moved))


def _number_of_return(source: str | None) -> str | None:
    """The number in `return/s/<store>/<number>` or `return/c/<channel>/<number>`."""
    parts = (source or "").split("/", 3)
    return parts[3] if len(parts) == 4 and parts[0] == "return" else None
