"""A customer's balance as every answer of the service shows it."""

from __future__ import annotations

from collections import Counter
from datetime import datetime
from zoneinfo import ZoneInfo

from billing.common.money import format_amount
from ledger.commands import WAITING
from ledger.state import CustomerState

Document = dict[str, object]


def balance_document(
    state: CustomerState, *, at: datetime, zone: ZoneInfo, complete: bool
) -> Document:
    """The balance of `state`, which is the customer as of `at` (B21, B22, C32).

    `base` and `promo` add up to `available`; `spendable` is what may be redeemed now: a debt
    comes first. `future_accruals` and `awaiting_verification` (left out when
    nothing waits) add up to `deferred`. `expiring` is the part of `available` that has an end, and
    `holds` add up to `held`; both are left out when `complete` is false: the state then knows
    deferred lots only. Amounts are decimal strings, times are of `zone`.
    """
    document: Document = {
        "customer_id": state.customer_id,
        "as_of": at.astimezone(zone),
        "available": format_amount(state.available),
        "base": format_amount(state.available - state.promo),
        "promo": format_amount(state.promo),
        "held": format_amount(state.held),
        "deferred": format_amount(state.deferred),
        "debt": format_amount(state.debt),
        "spendable": format_amount(state.balances.spendable),
        "future_accruals": _future_accruals(state, zone),
    }
    if waiting := waiting_points(state):
        document["awaiting_verification"] = format_amount(waiting)
    if complete:
        document["expiring"] = _expiring(state, zone)
        document["holds"] = _holds(state, zone)
    return document


def waiting_points(state: CustomerState) -> int:
    """Points that become available when the customer is verified, in 1/100."""
    return sum(lot.deferred for lot in state.lots.values() if lot.active_from == WAITING)


def _future_accruals(state: CustomerState, zone: ZoneInfo) -> list[Document]:
    sums: Counter[tuple[datetime, str, str]] = Counter()
    for lot in state.lots.values():
        if lot.deferred > 0 and lot.active_from != WAITING:
            sums[lot.active_from, lot.bucket, lot.program or ""] += lot.deferred
    return [
        {
            "at": at.astimezone(zone),
            "points": format_amount(points),
            "bucket": bucket,
            "program": program or None,
        }
        for (at, bucket, program), points in sorted(sums.items())
    ]


def _expiring(state: CustomerState, zone: ZoneInfo) -> list[Document]:
    sums: Counter[tuple[datetime, str]] = Counter()
    for lot in state.lots.values():
        if lot.available > 0 and lot.expires_at is not None:
            sums[lot.expires_at, lot.bucket] += lot.available
    return [
        {"at": at.astimezone(zone), "points": format_amount(points), "bucket": bucket}
        for (at, bucket), points in sorted(sums.items())
    ]


def _holds(state: CustomerState, zone: ZoneInfo) -> list[Document]:
    held = [hold for hold in state.holds.values() if hold.status == "open"]
    return [
        {
            "id": hold.id,
            "points": format_amount(hold.amount),
            "expires_at": hold.expires_at.astimezone(zone),
        }
        for hold in sorted(held, key=lambda hold: (hold.expires_at, hold.id))
    ]


def receipt_of(source: str | None) -> str | None:
    """The receipt number in a transaction's source; None when no receipt stands behind it.

    Sources of receipts are `sale/s/<store>/<number>` and `sale/c/<channel>/<number>`;
    `redemption/…` and `return/…` (the number of the return) likewise.
    """
    parts = (source or "").split("/", 3)
    kinds = ("sale", "redemption", "return")
    if len(parts) < 4 or parts[0] not in kinds or parts[1] not in ("s", "c"):
        return None
    return parts[3] or None
