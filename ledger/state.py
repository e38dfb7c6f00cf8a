"""The state of one customer, and the one place where a posting changes it.

Decisions, as-of reads, the audit and the rebuild of projections all go through `post`, so they
cannot disagree about what a posting means.
"""

from __future__ import annotations

from collections.abc import Iterable
from datetime import datetime
from uuid import UUID

from msgspec import Struct
from msgspec.structs import replace

from ledger.flows import TransactionKind
from ledger.model import Balances, Hold, HoldStatus, Lot, Posting, Transaction


class Impossible(Exception):
    """A posting that no history allows: an account of the customer or of a lot below zero."""


class CorrectionTarget(Struct, frozen=True):
    """A transaction that commands of a group want to correct, and what already corrects it."""

    id: UUID
    kind: str
    postings: tuple[Posting, ...]
    corrections: tuple[Posting, ...] = ()
    reversed: bool = False


class CustomerState:
    """Balances, lots and holds of a customer at one version. `fork` makes a cheap copy.

    `complete` says that all open lots and open holds are here; otherwise `next_due` is the word
    for those that are not. A state that is not `strict` may go below zero: it looks at a part of
    history in which a backdated redemption stands before the accrual it was paid from.
    """

    __slots__ = (
        "available",
        "complete",
        "customer_id",
        "debt",
        "deferred",
        "held",
        "holds",
        "lots",
        "next_due",
        "promo",
        "recorded_at",
        "strict",
        "touched_holds",
        "touched_lots",
        "version",
    )

    def __init__(self, customer_id: UUID, *, strict: bool = True) -> None:
        self.customer_id = customer_id
        self.strict = strict
        self.version = 0
        self.available = 0
        self.promo = 0
        self.deferred = 0
        self.held = 0
        self.debt = 0
        self.lots: dict[UUID, Lot] = {}
        self.holds: dict[UUID, Hold] = {}
        self.complete = True
        self.next_due: datetime | None = None
        self.recorded_at: datetime | None = None
        self.touched_lots: set[UUID] = set()
        self.touched_holds: set[UUID] = set()

    def fork(self) -> CustomerState:
        """A copy that may be thrown away when a command is refused."""
        other = CustomerState.__new__(CustomerState)
        for name in CustomerState.__slots__:
            setattr(other, name, getattr(self, name))
        other.lots = self.lots.copy()
        other.holds = self.holds.copy()
        other.touched_lots = self.touched_lots.copy()
        other.touched_holds = self.touched_holds.copy()
        return other

    @property
    def owned(self) -> int:
        """All the customer has, spendable now or not."""
        return self.available + self.deferred + self.held

    @property
    def balances(self) -> Balances:
        return Balances(self.available, self.promo, self.deferred, self.held, self.debt)

    def post(self, posting: Posting, occurred_at: datetime) -> None:
        """Apply one posting to the sums and to its lot. Raises Impossible below zero."""
        debit, credit, amount = posting.debit, posting.credit, posting.amount
        if amount <= 0:
            raise Impossible(f"a posting of {amount}: amounts are positive")
        lot = self.lots.get(posting.lot_id)
        if lot is None:
            lot = _new_lot(posting, occurred_at)
        forgives = posting.kind == "forgive"
        put_in = lot.amount + amount if debit in _SOURCES and not forgives else lot.amount
        available, deferred, held, redeemed = lot.available, lot.deferred, lot.held, lot.redeemed
        if debit == "available":
            available -= amount
        elif debit == "deferred":
            deferred -= amount
        elif debit == "held":
            held -= amount
        elif debit == "redeemed":
            redeemed -= amount
        elif debit == "debt":
            self.debt += amount
        if credit == "available":
            available += amount
        elif credit == "deferred":
            deferred += amount
        elif credit == "held":
            held += amount
        elif credit == "redeemed":
            redeemed += amount
        elif credit == "debt":
            self.debt -= amount
        revoked, owed, expired, forgiven = lot.revoked, lot.owed, lot.expired, lot.forgiven
        if posting.kind == "revoke":
            revoked += amount
            owed += amount if debit == "debt" else 0
        elif posting.kind == "settle":
            owed -= amount
        elif posting.kind == "expire":
            expired += amount
        elif forgives and credit == "debt":
            owed -= amount
            forgiven += amount
        elif forgives:
            forgiven -= amount
        if self.strict:
            if min(available, deferred, held, redeemed, owed, forgiven) < 0 or revoked > put_in:
                raise Impossible(f"{posting.kind} of {amount} leaves lot {lot.id} below zero")
            if self.debt < 0:
                raise Impossible(f"{posting.kind} of {amount} leaves a debt below zero")
        self.available += available - lot.available
        if lot.bucket == "promo":
            self.promo += available - lot.available
        self.deferred += deferred - lot.deferred
        self.held += held - lot.held
        self.touched_lots.add(lot.id)
        self.lots[lot.id] = Lot(
            lot.id,
            lot.bucket,
            put_in,
            lot.active_from,
            lot.expires_at,
            lot.program,
            lot.program_version,
            lot.occurred_at,
            available,
            deferred,
            held,
            redeemed,
            revoked,
            owed,
            expired,
            forgiven,
            lot.channel,
            lot.store,
        )

    def apply(self, transaction: Transaction) -> None:
        """Apply a recorded transaction: its postings, its hold, its version."""
        for posting in transaction.postings:
            self.post(posting, transaction.occurred_at)
        self.follow_hold(
            transaction.kind,
            transaction.hold_id,
            transaction.hold_expires_at,
            transaction.postings,
            (transaction.channel, transaction.store),
        )
        self.version = transaction.version
        self.recorded_at = transaction.recorded_at

    def follow_hold(
        self,
        kind: TransactionKind,
        hold_id: UUID | None,
        expires_at: datetime | None,
        postings: Iterable[Posting],
        place: tuple[str | None, str | None],
    ) -> None:
        """Open, capture or end the hold that a transaction of this kind names at `place`."""
        if hold_id is None:
            return
        if expires_at is not None and kind == "hold":
            parts: dict[UUID, int] = {}
            for posting in postings:
                if posting.kind == "hold":
                    parts[posting.lot_id] = parts.get(posting.lot_id, 0) + posting.amount
            hold = Hold(hold_id, "open", expires_at, tuple(parts.items()), 0, *place)
        else:
            known = self.holds.get(hold_id)
            if known is None and not self.strict:
                return
            if known is None:
                raise Impossible(f"{kind} of hold {hold_id}, which was never placed")
            captured = sum(p.amount for p in postings if p.kind == "capture")
            hold = replace(known, status=hold_end(kind, captured), captured=captured)
        self.holds[hold_id] = hold
        self.touched_holds.add(hold_id)

    def due(self) -> datetime | None:
        """The next instant at which a lot or hold changes by time alone."""
        dates = [lot.active_from for lot in self.lots.values() if lot.deferred]
        dates += [lot.expires_at for lot in self.lots.values() if lot.expires_at and lot.available]
        dates += [hold.expires_at for hold in self.holds.values() if hold.status == "open"]
        if not self.complete and self.next_due is not None:
            dates.append(self.next_due)
        return min(dates, default=None)


_SOURCES = frozenset(("issued", "adjustment", "clearing"))


def hold_end(kind: str, captured: int) -> HoldStatus:
    """How a hold ends by a transaction of a kind that captured so much of it."""
    if captured:
        return "captured"
    return "expired" if kind == "hold_expiry" else "released"


def _new_lot(posting: Posting, occurred_at: datetime) -> Lot:
    return Lot(
        posting.lot_id,
        posting.bucket,
        0,
        posting.active_from,
        posting.expires_at,
        posting.program,
        posting.program_version,
        occurred_at,
        channel=posting.channel,
        store=posting.store,
    )
