"""The ledger on the wire (spec: Ledger, for finance)."""

from __future__ import annotations

from datetime import datetime
from typing import Annotated, Any
from uuid import UUID

import msgspec
from msgspec import UNSET, UnsetType

from billing.balances.schemas import BIGGEST, QueryInstant
from billing.common.errors import ValidationFailed
from billing.common.wire import MAX_PAGE, Code
from ledger.flows import Account, Bucket
from ledger.totals import DIMENSIONS, Dimension

CURSOR_KEY: tuple[Any, ...] = (
    Annotated[int, msgspec.Meta(ge=0, le=BIGGEST)],
    UUID,
    Annotated[int, msgspec.Meta(ge=1, le=BIGGEST)],
    Annotated[int, msgspec.Meta(ge=0, le=2**31 - 1)],
)
"""Where a posting stands: `ledger.totals.PostingKey`."""


class Filters(msgspec.Struct, forbid_unknown_fields=True, kw_only=True):
    """Which postings; what is left out does not restrict. Shared by the list and its totals."""

    account: Account | None = None
    customer_id: UUID | None = None
    channel: Code | None = None
    store: Code | None = None
    product_group: Code | None = None
    program: Code | None = None
    bucket: Bucket | None = None
    known_at: QueryInstant | None = None


class TrialBalanceQuery(
    Filters, forbid_unknown_fields=True, kw_only=True, rename={"from_": "from"}
):
    """`by`: dimensions with commas between them. All times are inclusive."""

    from_: QueryInstant | None = None
    as_of: QueryInstant | None = None
    by: Annotated[
        str,
        msgspec.Meta(
            max_length=200,
            examples=["channel,store"],
            description=f"Any of {', '.join(DIMENSIONS)}, with commas between them.",
        ),
    ] = ""

    def dimensions(self) -> tuple[Dimension, ...]:
        """What `by` names, in its order. Raises ValidationFailed."""
        names = [name.strip() for name in self.by.split(",")] if self.by.strip() else []
        known: dict[str, Dimension] = {name: name for name in DIMENSIONS}
        if not known.keys() >= set(names):
            raise ValidationFailed.at("/query/by", f"must be any of {', '.join(DIMENSIONS)}")
        if len(set(names)) < len(names):
            raise ValidationFailed.at("/query/by", "names a dimension twice")
        return tuple(known[name] for name in names)


class PostingsQuery(Filters, forbid_unknown_fields=True, kw_only=True, rename={"from_": "from"}):
    """When it happened: from `from` on, and before `to`."""

    from_: QueryInstant | None = None
    to: QueryInstant | None = None
    limit: Annotated[int, msgspec.Meta(ge=1, le=MAX_PAGE)] = 100
    cursor: str | None = None


class TrialRowOut(msgspec.Struct, forbid_unknown_fields=True, kw_only=True):
    """`debit`: what left the account; `credit`: what arrived; `balance`: credit less debit.

    A dimension is there when it was asked for; null: the posting has none.
    """

    account: Account
    debit: str
    credit: str
    balance: str
    channel: str | UnsetType | None = UNSET
    store: str | UnsetType | None = UNSET
    product_group: str | UnsetType | None = UNSET
    program: str | UnsetType | None = UNSET
    bucket: str | UnsetType | None = UNSET


class TrialTotalsOut(msgspec.Struct):
    debit: str
    credit: str


class TrialBalanceOut(
    msgspec.Struct, forbid_unknown_fields=True, kw_only=True, rename={"from_": "from"}
):
    from_: datetime | None
    as_of: datetime | None
    known_at: datetime | None
    by: list[Dimension]
    rows: list[TrialRowOut]
    totals: TrialTotalsOut


class MovementOut(msgspec.Struct, forbid_unknown_fields=True, kw_only=True):
    """A posting: `points` leave `debit` and arrive in `credit`."""

    seq: int
    kind: str
    debit: Account
    credit: Account
    points: str
    lot_id: UUID
    bucket: str
    available_from: datetime
    expires_at: datetime | None
    program: str | None
    program_version: int | None
    channel: str | None
    store: str | None
    product_group: str | None


class LedgerPostingOut(MovementOut, forbid_unknown_fields=True, kw_only=True):
    transaction_id: UUID
    customer_id: UUID
    version: int
    occurred_at: datetime
    recorded_at: datetime


class LedgerPostingPage(msgspec.Struct, forbid_unknown_fields=True):
    items: list[LedgerPostingOut]
    next_cursor: str | None


class AfterOut(msgspec.Struct, forbid_unknown_fields=True, kw_only=True):
    """The customer's balances after a transaction; `promo` is a part of `available`."""

    available: str
    promo: str
    deferred: str
    held: str
    debt: str


class CorrectionOut(msgspec.Struct, forbid_unknown_fields=True, kw_only=True):
    transaction_id: UUID
    version: int
    kind: str
    occurred_at: datetime
    recorded_at: datetime
    author: str | None
    reason: str | None


class TransactionOut(msgspec.Struct, forbid_unknown_fields=True, kw_only=True):
    id: UUID
    customer_id: UUID
    version: int
    kind: str
    occurred_at: datetime
    recorded_at: datetime
    operation_id: UUID
    corrects: UUID | None
    hold_id: UUID | None
    hold_expires_at: datetime | None
    source: str | None
    receipt: str | None
    channel: str | None
    store: str | None
    author: str | None
    reason: str | None
    after: AfterOut
    postings: list[MovementOut]
    corrected_by: list[CorrectionOut]
