"""Steps that correct: revocation, restoration, reversal of a whole transaction.

Never more than the corrected transaction moved, over all its corrections together (C3, C5).
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable
from uuid import UUID

from ledger.commands import IfSpent, Restore, Reverse, Revoke
from ledger.draft import Draft
from ledger.errors import Refusal
from ledger.flows import Kind
from ledger.model import Posting, points_text
from ledger.reclaim import reclaim
from ledger.state import CorrectionTarget

LotShare = tuple[UUID, str | None]


def revoke(draft: Draft, step: Revoke, target: CorrectionTarget) -> None:
    """deferred or available → issued; what is no longer there as `if_spent` says."""
    draft.corrects = target.id
    left = _left(target, ("accrue",), ("revoke",))
    wanted = dict(left)
    if step.parts is not None:
        wanted = {}
        for lot_id, product_group, amount in step.parts:
            key = (lot_id, product_group)
            wanted[key] = wanted.get(key, 0) + amount
    for key, amount in wanted.items():
        if amount > left.get(key, 0):
            raise _exceeds(target, amount, left.get(key, 0))
    paid_debts = _paid_debts(target)
    for (lot_id, product_group), amount in wanted.items():
        _take_back(draft, lot_id, product_group, amount, paid_debts, step.if_spent)
    # Points that this command restored to a lot already over may have been given anew.
    reclaim(draft, alive_at=draft.now)


def restore(draft: Draft, step: Restore, target: CorrectionTarget) -> None:
    """redeemed → available, same lot; what the lot still owes is taken from it."""
    draft.corrects = target.id
    left = _left(target, ("redeem", "capture"), ("restore",))
    parts = step.parts
    if parts is None:
        parts = _last_taken(target, left, step.points)
    for lot_id, product_group, amount in parts:
        key = (lot_id, product_group)
        if amount > left.get(key, 0):
            raise _exceeds(target, amount, left.get(key, 0))
        left[key] -= amount
        draft.post(
            "restore", "redeemed", "available", amount, draft.state.lots[lot_id], product_group
        )
    reclaim(draft)


def _last_taken(
    target: CorrectionTarget, left: dict[LotShare, int], points: int | None
) -> tuple[tuple[UUID, str | None, int], ...]:
    rest = sum(left.values()) if points is None else points
    if rest > sum(left.values()):
        raise _exceeds(target, rest, sum(left.values()))
    parts: list[tuple[UUID, str | None, int]] = []
    for key, amount in reversed(list(left.items())):
        parts.append((*key, min(amount, rest)))
        rest -= parts[-1][2]
    return tuple(parts)


_REVERSIBLE = frozenset(("accrual", "redemption", "receipt", "capture", "adjustment"))


def reverse(draft: Draft, step: Reverse, target: CorrectionTarget) -> None:
    """Undo what earlier corrections have left of a transaction: at most once."""
    draft.corrects = target.id
    if target.reversed:
        raise Refusal("already_reversed", f"Transaction {target.id} is already reversed.")
    if target.kind not in _REVERSIBLE:
        raise Refusal("not_reversible", f"A transaction of kind {target.kind} is not reversed.")
    restore(draft, Restore(target.id), target)
    revoke(draft, Revoke(target.id, None, step.if_spent), target)
    for posting in target.postings:
        if posting.kind == "adjust":
            _unadjust(draft, posting, step.if_spent)


def _unadjust(draft: Draft, posting: Posting, if_spent: IfSpent) -> None:
    lot = draft.state.lots[posting.lot_id]
    if posting.credit == "adjustment":
        draft.post("adjust", "adjustment", "available", posting.amount, lot)
        return
    if posting.amount > lot.deferred + lot.available and if_spent != "floor":
        raise Refusal(
            "points_already_spent",
            "The adjusted points are already spent; reverse what spent them first.",
            available=lot.deferred + lot.available,
        )
    deferred = min(posting.amount, lot.deferred)
    draft.post("adjust", "deferred", "adjustment", deferred, lot)
    available = min(posting.amount - deferred, lot.available)
    draft.post("adjust", "available", "adjustment", available, draft.state.lots[lot.id])


def _take_back(
    draft: Draft,
    lot_id: UUID,
    product_group: str | None,
    amount: int,
    paid_debts: Counter[UUID],
    if_spent: IfSpent,
) -> None:
    lot = draft.state.lots[lot_id]
    deferred = min(amount, lot.deferred)
    draft.post("revoke", "deferred", "issued", deferred, lot, product_group)
    amount -= deferred
    lot = draft.state.lots[lot_id]
    available = min(amount, lot.available)
    draft.post("revoke", "available", "issued", available, lot, product_group)
    lot = draft.state.lots[lot_id]
    # What expired was never used: nobody owes it. When another sale paid this lot's debt and its
    # points came back, more is available than is left of it: nothing is used then.
    used = max(0, lot.amount - lot.available - lot.deferred - lot.expired - lot.revoked)
    amount = min(amount - available, used)
    owed_again = min(amount, paid_debts[lot_id])
    paid_debts[lot_id] -= owed_again
    spent = amount - owed_again
    if spent and if_spent == "refuse":
        raise Refusal(
            "points_already_spent",
            "The points of this sale are already spent, and its program refuses the return.",
        )
    draft.post("revoke", "debt", "issued", amount, draft.state.lots[lot_id], product_group)
    if if_spent == "floor":
        lot = draft.state.lots[lot_id]
        draft.post("forgive", "adjustment", "debt", spent, lot, product_group)


def _left(
    target: CorrectionTarget, done: tuple[Kind, ...], undone: tuple[Kind, ...]
) -> dict[LotShare, int]:
    """What the target moved and its corrections have not moved back, in the order it moved."""
    left: dict[LotShare, int] = {}
    for posting in target.postings:
        if posting.kind in done:
            key = (posting.lot_id, posting.product_group)
            left[key] = left.get(key, 0) + posting.amount
    for posting in target.corrections:
        key = (posting.lot_id, posting.product_group)
        if posting.kind in undone and key in left:
            left[key] -= posting.amount
    return {key: amount for key, amount in left.items() if amount > 0}


def _paid_debts(target: CorrectionTarget) -> Counter[UUID]:
    """How much of each lot went into a debt when it was accrued, and was not made debt again."""
    paid = Counter(_sums(p for p in target.postings if (p.kind, p.credit) == ("accrue", "debt")))
    return paid - Counter(_sums(p for p in target.corrections if p.debit == "debt"))


def _sums(postings: Iterable[Posting]) -> dict[UUID, int]:
    sums: dict[UUID, int] = {}
    for posting in postings:
        sums[posting.lot_id] = sums.get(posting.lot_id, 0) + posting.amount
    return sums


def _exceeds(target: CorrectionTarget, asked: int, left: int) -> Refusal:
    return Refusal(
        "correction_exceeds",
        f"Transaction {target.id} has {points_text(left)} points left to give back; "
        f"{points_text(asked)} were asked for.",
        left=left,
    )
