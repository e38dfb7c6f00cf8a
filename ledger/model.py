"""What the ledger is made of: lots, holds, postings and transactions. Amounts are 1/100 point."""

from __future__ import annotations

from datetime import datetime
from typing import Literal
from uuid import UUID

from msgspec import Struct

from ledger.flows import Account, Bucket, Kind, TransactionKind

HoldStatus = Literal["open", "captured", "released", "expired"]


class Lot(Struct, frozen=True):
    """Points of one accrual: where they came from, when they live, and where they are now.

    `expires_at` is exclusive: at that instant the points are gone. `channel` and `store` are where
    the points were given, which what time does to them is told of. `redeemed` is net of what was
    restored; `revoked` is what was taken back, `owed` the debt that left and that nothing restored
    has settled; `expired` is what nobody used in time; `forgiven` what was revoked after it was
    spent, and is not asked for until points come back.
    """

    id: UUID
    bucket: Bucket
    amount: int
    active_from: datetime
    expires_at: datetime | None
    program: str | None
    program_version: int | None
    occurred_at: datetime
    available: int = 0
    deferred: int = 0
    held: int = 0
    redeemed: int = 0
    revoked: int = 0
    owed: int = 0
    expired: int = 0
    forgiven: int = 0
    channel: str | None = None
    store: str | None = None

    @property
    def open(self) -> bool:
        """Whether any of its points are still the customer's."""
        return self.available + self.deferred + self.held > 0


class Hold(Struct, frozen=True):
    """A reservation: its `parts` are (lot, amount), in burn order; where it was made."""

    id: UUID
    status: HoldStatus
    expires_at: datetime
    parts: tuple[tuple[UUID, int], ...]
    captured: int = 0
    channel: str | None = None
    store: str | None = None

    @property
    def amount(self) -> int:
        return sum(amount for _, amount in self.parts)


class Posting(Struct, frozen=True):
    """One movement. The terms of the lot stand on it, so that lots can be rebuilt from postings."""

    kind: Kind
    debit: Account
    credit: Account
    amount: int
    lot_id: UUID
    bucket: Bucket
    active_from: datetime
    expires_at: datetime | None
    program: str | None
    program_version: int | None
    channel: str | None
    store: str | None
    product_group: str | None


class Balances(Struct, frozen=True):
    """A customer's five sums; `promo` is the promotional part of `available`."""

    available: int = 0
    promo: int = 0
    deferred: int = 0
    held: int = 0
    debt: int = 0

    @property
    def spendable(self) -> int:
        """What may be redeemed now: a debt comes first."""
        return max(0, self.available - self.debt)


class Transaction(Struct, frozen=True):
    """One entry of a customer's journal, `version` 1, 2, 3 … of that customer.

    `corrects` names the transaction this one corrects; `operation_id` ties the two halves of a
    transfer; `source` is the document it was posted for, unique in the whole ledger.
    """

    id: UUID
    customer_id: UUID
    version: int
    kind: TransactionKind
    occurred_at: datetime
    recorded_at: datetime
    postings: tuple[Posting, ...]
    after: Balances
    operation_id: UUID
    corrects: UUID | None = None
    hold_id: UUID | None = None
    hold_expires_at: datetime | None = None
    source: str | None = None
    channel: str | None = None
    store: str | None = None
    author: str | None = None
    reason: str | None = None


def points_text(amount: int) -> str:
    """1250 as "12.50", for messages."""
    return f"{amount // 100}.{amount % 100:02d}"
