"""What the caller is told of a redemption."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime
from typing import Literal
from uuid import UUID
from zoneinfo import ZoneInfo

from billing.balances.model import balance_document
from billing.common.money import format_amount
from billing.programs.model import Basket
from billing.receipts.sale import print_out
from billing.redemptions.model import Held
from billing.redemptions.schemas import PaidLineOut, PartOut, RedemptionOut
from ledger.decide import Outcome
from ledger.model import Hold, Posting, Transaction
from ledger.state import CustomerState

Status = Literal["held", "captured", "released", "expired"]


def own(outcome: Outcome) -> Transaction:
    """The transaction that a redemption, its capture or its release is."""
    if outcome.transaction is None:
        raise RuntimeError("a redemption is a transaction")
    return outcome.transaction


def moved(transaction: Transaction) -> int:
    """What a transaction holds or spends."""
    return sum(p.amount for p in transaction.postings if p.kind in ("redeem", "hold", "capture"))


def done_document(held: Held, outcome: Outcome, status: Status) -> RedemptionOut:
    """A redemption that was just made, captured or released."""
    transaction = own(outcome)
    amount = held.points if status == "released" else moved(transaction)
    parts = _parts(transaction.postings, ZoneInfo(held.place.timezone))
    return _document(
        held, status, amount, parts, outcome.hold, outcome.state, at=outcome.recorded_at
    )


def found_document(
    held: Held, placed: Transaction, hold: Hold | None, state: CustomerState, now: datetime
) -> RedemptionOut:
    """A redemption as it is now; `placed` is its first transaction."""
    status: Status = "captured"
    amount = held.points
    if hold is not None:
        status = "held" if hold.status == "open" else hold.status
        amount = hold.captured if status == "captured" else held.points
    parts = _parts(placed.postings, ZoneInfo(held.place.timezone), amount)
    return _document(held, status, amount, parts, hold, state, at=now)


def _document(
    held: Held,
    status: Status,
    amount: int,
    parts: list[PartOut],
    hold: Hold | None,
    state: CustomerState,
    *,
    at: datetime,
) -> RedemptionOut:
    zone = ZoneInfo(held.place.timezone)
    return RedemptionOut(
        id=held.id,
        customer_id=held.customer_id,
        receipt_number=held.number,
        status=status,
        points=format_amount(amount),
        parts=parts,
        lines=_lines(held.basket, held.pays(amount if status in ("held", "captured") else 0)),
        hold_expires_at=_local(hold.expires_at, zone) if hold else None,
        balance=balance_document(state, at=at, zone=zone, complete=True),
    )


def _parts(postings: Sequence[Posting], zone: ZoneInfo, amount: int | None = None) -> list[PartOut]:
    """From which lots: the spent ones of a capture, else the held or released ones.

    `amount` is how much of a hold was captured: its first parts, in burn order.
    """
    spent = [p for p in postings if p.kind in ("redeem", "capture")] or list(postings)
    rest = sum(p.amount for p in spent) if amount is None else amount
    sums: dict[UUID, int] = {}
    for posting in spent:
        part = min(posting.amount, rest)
        rest -= part
        if part:
            sums[posting.lot_id] = sums.get(posting.lot_id, 0) + part
    terms = {posting.lot_id: posting for posting in spent}
    return [
        PartOut(
            lot,
            terms[lot].bucket,
            format_amount(points),
            _local(terms[lot].expires_at, zone),
        )
        for lot, points in sums.items()
    ]


def _local(moment: datetime | None, zone: ZoneInfo) -> datetime | None:
    return moment.astimezone(zone) if moment else None


def _lines(basket: Basket, paid: Sequence[int]) -> list[PaidLineOut]:
    return [
        PaidLineOut(
            line.number,
            format_amount(points),
            format_amount(line.amount - points),
            print_out(line, points) if points and line.price is not None else [],
        )
        for line, points in zip(basket.lines, paid, strict=True)
    ]
