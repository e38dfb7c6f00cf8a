"""Steps that take points out: redemptions, holds, adjustments by hand, transfers."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Literal
from uuid import UUID

from msgspec.structs import replace

from ledger.burn import Part, cross, take
from ledger.commands import (
    MAX,
    Adjust,
    Capture,
    Grant,
    PlaceHold,
    Redeem,
    Release,
    Spread,
    Transfer,
)
from ledger.draft import Draft
from ledger.errors import Refusal
from ledger.flows import Account, Kind
from ledger.granting import new_lot
from ledger.model import Hold, Lot, points_text
from ledger.reclaim import reclaim


def redeem(draft: Draft, step: Redeem) -> None:
    """available → redeemed, in burn order."""
    amount = _affordable(draft, step.points, step.at_most)
    parts = take(draft.state.lots.values(), amount, step.order)
    _spend(draft, "redeem", "available", parts, step.spread)


def place_hold(draft: Draft, step: PlaceHold) -> None:
    """available → held, in burn order, until the hold's time is over."""
    amount = _affordable(draft, step.points, step.at_most)
    if amount == 0:
        raise Refusal("insufficient_points", "There are no points to hold.", available=0)
    draft.hold_id = draft.id
    draft.hold_expires_at = step.expires_at
    for lot, part in take(draft.state.lots.values(), amount, step.order):
        draft.post("hold", "available", "held", part, lot)


def capture(draft: Draft, step: Capture) -> None:
    """held → redeemed for `points` of the hold, the rest held → available."""
    hold = _open_hold(draft, step.hold_id)
    amount = hold.amount if step.points is None else step.points
    if amount < 0:
        raise ValueError(f"{amount} points: amounts are not negative")
    if amount > hold.amount:
        raise Refusal(
            "insufficient_points",
            f"The hold is of {points_text(hold.amount)} points, not of {points_text(amount)}.",
            available=hold.amount,
        )
    draft.hold_id = hold.id
    captured: list[Part] = []
    for lot_id, held in hold.parts:
        part = min(held, amount)
        captured.append((draft.state.lots[lot_id], part))
        amount -= part
    _spend(draft, "capture", "held", [p for p in captured if p[1]], step.spread)
    for (lot_id, held), (_, part) in zip(hold.parts, captured, strict=True):
        draft.post("release", "held", "available", held - part, draft.state.lots[lot_id])
    reclaim(draft)


def release(draft: Draft, step: Release) -> None:
    """held → available for the whole hold."""
    hold = _open_hold(draft, step.hold_id)
    draft.hold_id = hold.id
    for lot_id, amount in hold.parts:
        draft.post("release", "held", "available", amount, draft.state.lots[lot_id])
    reclaim(draft)


def adjust(draft: Draft, step: Adjust) -> None:
    """By hand: adjustment → available (or deferred) as a new lot; available → adjustment."""
    if step.points > 0:
        grant = Grant(step.bucket, ((None, step.points),), step.active_from, step.expires_at)
        lot = new_lot(draft, grant)
        where: Account = "deferred" if lot.active_from > draft.occurred_at else "available"
        draft.post("adjust", "adjustment", where, step.points, lot)
        return
    lots = [lot for lot in draft.state.lots.values() if lot.bucket == step.bucket]
    available = sum(lot.available for lot in lots)
    if -step.points > available:
        raise Refusal(
            "insufficient_points",
            f"The customer has {points_text(available)} available {step.bucket} points; "
            f"{points_text(-step.points)} were to be taken.",
            available=available,
        )
    for lot, part in take(lots, -step.points):
        draft.post("adjust", "available", "adjustment", part, lot)


def transfer(draft: Draft, arrival: Draft, step: Transfer) -> None:
    """available → clearing here, clearing → available there, and so with what is deferred; lots
    keep their terms and place."""
    lots = [one for one in draft.state.lots.values() if step.lots is None or one.id in step.lots]
    there = sum(lot.available for lot in lots)
    if step.lots is not None and step.points != MAX and step.points > there:
        raise Refusal(
            "insufficient_points",
            f"{points_text(there)} points may be moved; {points_text(step.points)} were to be.",
            available=there,
        )
    amount = _affordable(draft, step.points, None if step.lots is None else there)
    for lot, part in take(lots, amount, step.order):
        owed = min(part, arrival.state.debt) if step.pays_debt else 0
        _move(draft, arrival, lot, part, "available", owed)
    if step.deferred:
        for lot in sorted((lot for lot in lots if lot.deferred), key=lambda one: one.id):
            _move(draft, arrival, lot, lot.deferred, "deferred")


def _move(
    draft: Draft, arrival: Draft, lot: Lot, part: int, account: Account, owed: int = 0
) -> None:
    draft.post("transfer", account, "clearing", part, lot)
    grant = Grant(
        lot.bucket,
        ((None, part),),
        lot.active_from,
        lot.expires_at,
        lot.program,
        lot.program_version,
    )
    there = replace(new_lot(arrival, grant), channel=lot.channel, store=lot.store)
    arrival.post("transfer", "clearing", "debt", owed, there)
    arrival.post("transfer", "clearing", account, part - owed, there)


def _affordable(draft: Draft, points: int | Literal["max"], at_most: int | None) -> int:
    if points != MAX and points < 0:
        raise ValueError(f"{points} points: amounts are not negative")
    spendable = draft.state.balances.spendable
    if points == MAX:
        return spendable if at_most is None else min(spendable, at_most)
    if at_most is not None and points > at_most:
        raise ValueError(f"{points} points asked for, at most {at_most} allowed")
    if points > spendable:
        raise Refusal(
            "insufficient_points",
            f"{points_text(spendable)} points may be spent; {points_text(points)} were asked for.",
            available=spendable,
        )
    return points


def _open_hold(draft: Draft, hold_id: UUID) -> Hold:
    hold = draft.state.holds.get(hold_id)
    if hold is None:
        raise Refusal("hold_not_found", f"This customer has no hold {hold_id}.")
    if hold.status == "expired":
        raise Refusal("hold_expired", f"The hold ended at {hold.expires_at.isoformat()}.")
    if hold.status != "open":
        raise Refusal("hold_not_open", f"The hold is already {hold.status}.")
    return hold


def _spend(
    draft: Draft, kind: Kind, debit: Account, parts: Sequence[Part], spread: Spread | None
) -> None:
    amount = sum(part for _, part in parts)
    shares = spread(amount) if spread and amount else ((None, amount),)
    for lot, product_group, piece in cross(parts, shares):
        draft.post(kind, debit, "redeemed", piece, lot, product_group)
