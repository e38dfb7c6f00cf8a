"""What a customer will lose on a day, if nothing is spent before."""

from __future__ import annotations

from collections.abc import Iterable
from datetime import date, datetime, time, timedelta
from uuid import UUID
from zoneinfo import ZoneInfo

from msgspec import Struct
from msgspec.structs import replace

from billing.common.money import format_amount
from billing.events.model import event_id
from billing.events.schemas import ByBucket, ExpiringPart, PointsExpiringSoon
from billing.events.store import New
from ledger.due import roll_forward
from ledger.model import Hold, Lot
from ledger.state import CustomerState


class Holdings(Struct):
    """A customer's open lots, and those of the holds on them whose time is over."""

    customer_id: UUID
    lots: dict[UUID, Lot]
    holds: dict[UUID, Hold]


def day_of(day: date, zone: ZoneInfo) -> tuple[datetime, datetime]:
    """When a day of the chain begins and ends (exclusive): 23 to 25 hours."""
    begin, end = (datetime.combine(one, time(), zone) for one in (day, day + timedelta(days=1)))
    return begin, end


def notice_of(
    holdings: Holdings, on: date, days_ahead: int, zone: ZoneInfo, now: datetime
) -> New | None:
    """The event about what expires `on` that day; None when nothing is left that could.

    Sums are those a till would see `now`: what is due has happened, what is held is not counted.
    Deferred points of a lot that ends that day are lost with it and count. The event's id is the
    same however often it is made. Raises Impossible or KeyError for a broken projection.
    """
    begin, end = day_of(on, zone)
    lots = list(_as_they_are(holdings, now))
    parts = [
        (lot, lot.available + lot.deferred)
        for lot in lots
        if lot.expires_at is not None and begin <= lot.expires_at < end and lot.expires_at > now
        if lot.available + lot.deferred
    ]
    if not parts:
        return None
    parts.sort(key=lambda part: (part[0].expires_at, part[0].id))
    promo = sum(points for lot, points in parts if lot.bucket == "promo")
    total = sum(points for _, points in parts)
    data = PointsExpiringSoon(
        customer_id=holdings.customer_id,
        on=on,
        points=ByBucket(*map(format_amount, (total, total - promo, promo))),
        available=format_amount(sum(lot.available for lot in lots)),
        parts=[_part(lot, points) for lot, points in parts],
    )
    return New(data, now, event_id(holdings.customer_id, f"{data.TYPE}/{on}/{days_ahead}"))


def _as_they_are(holdings: Holdings, now: datetime) -> Iterable[Lot]:
    """The lots after everything that is due by `now`."""
    state = CustomerState(holdings.customer_id)
    state.lots = holdings.lots.copy()
    for hold in holdings.holds.values():
        parts = tuple(part for part in hold.parts if part[0] in state.lots)
        state.holds[hold.id] = replace(hold, parts=parts)
    roll_forward(state, now, now)
    return state.lots.values()


def _part(lot: Lot, points: int) -> ExpiringPart:
    if lot.expires_at is None:
        raise ValueError("a lot that never expires is in no notice")
    return ExpiringPart(lot.id, lot.bucket, format_amount(points), lot.program, lot.expires_at)
