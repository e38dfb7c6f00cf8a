"""The ledger on the wire (spec: Ledger, for finance)."""

from __future__ import annotations

from datetime import date, datetime
from typing import Annotated, Any, Literal
from uuid import UUID

import msgspec
from msgspec import UNSET, UnsetType

from billing.balances.schemas import BIGGEST, QueryInstant
from billing.common.wire import MAX_PAGE, Amount
from billing.finance.query import Dimension, FileQuery, ReportQuery
from ledger.flows import Account, Kind
from ledger.selection import Movement, TimeAxis

_LATEST_US = 10**16
_POSTING: tuple[Any, ...] = (
    UUID,
    Annotated[int, msgspec.Meta(ge=1, le=BIGGEST)],
    Annotated[int, msgspec.Meta(ge=0, le=2**31 - 1)],
)
CURSOR_KEY: tuple[Any, ...] = (Annotated[int, msgspec.Meta(ge=0, le=BIGGEST)], *_POSTING)
"""Where a posting stands: `ledger.written.WrittenKey`."""
ENTRY_KEY: tuple[Any, ...] = (
    Annotated[int, msgspec.Meta(ge=0, le=_LATEST_US)],
    *_POSTING,
    Annotated[int, msgspec.Meta(ge=-BIGGEST, le=BIGGEST)],
    int,
)
"""`ledger.listing.PostingKey`, its time in microseconds since 1970, the balance after it, and a
mark of what was asked for."""


class TrialBalanceQuery(
    ReportQuery, forbid_unknown_fields=True, kw_only=True, rename={"from_": "from"}
):
    """Without any time: all there is; with `known_at` alone both times are that."""

    account: Account | None = None


class LiabilityQuery(
    ReportQuery, forbid_unknown_fields=True, kw_only=True, rename={"from_": "from"}
):
    """Without `from` nothing is an opening; without an end all there is counts."""


class ProgramsQuery(
    ReportQuery, forbid_unknown_fields=True, kw_only=True, rename={"from_": "from"}
):
    """`by` further dimensions than the program."""

    point_value: Annotated[
        Amount,
        msgspec.Meta(description="What a point is worth in money, for the costs."),
    ] = msgspec.field(default_factory=lambda: Amount(100))


Step = Literal["day", "month", "quarter", "year"]


class AgeingQuery(ReportQuery, forbid_unknown_fields=True, kw_only=True, rename={"from_": "from"}):
    """`step`: into what periods of expiry the points are put."""

    step: Step = "month"


_LIMIT = Annotated[int, msgspec.Meta(ge=1, le=MAX_PAGE)]


class PostingsQuery(FileQuery, forbid_unknown_fields=True, kw_only=True, rename={"from_": "from"}):
    """What narrows a list to one figure of a report: `movement`, a column of the roll-forward;
    `kind`, a column of programs; `debit` and `credit`, a flow; `expires_from` (inclusive) and
    `expires_to` (exclusive), or `expires=never`, a row of the ageing."""

    account: Account | None = None
    movement: Movement | None = None
    kind: Kind | None = None
    debit: Account | None = None
    credit: Account | None = None
    expires_from: QueryInstant | None = None
    expires_to: QueryInstant | None = None
    expires: Literal["never"] | None = None
    limit: _LIMIT = 100
    cursor: str | None = None


class EntriesQuery(FileQuery, forbid_unknown_fields=True, kw_only=True, rename={"from_": "from"}):
    """Without `account`: all that is owed to customers, as their statements have it."""

    account: Account | None = None
    limit: _LIMIT = 100
    cursor: str | None = None


class _RowOut(msgspec.Struct, forbid_unknown_fields=True, kw_only=True):
    """A dimension is there when it was asked for; null: the postings have none.

    `postings` lists what the row adds up, a path with a query; where a period begins,
    `opening_postings` and `closing_postings` what is owed at its ends. Those of totals list what
    all rows add up.
    """

    channel: str | UnsetType | None = UNSET
    store: str | UnsetType | None = UNSET
    store_group: str | UnsetType | None = UNSET
    product_group: str | UnsetType | None = UNSET
    program: str | UnsetType | None = UNSET
    program_version: int | UnsetType | None = UNSET
    bucket: str | UnsetType | None = UNSET
    postings: str
    opening_postings: str | UnsetType = UNSET
    closing_postings: str | UnsetType = UNSET


class TrialRowOut(_RowOut, forbid_unknown_fields=True, kw_only=True):
    """`debit`: what left the account; `credit`: what arrived; `balance`: credit less debit."""

    account: Account
    debit: str
    credit: str
    balance: str


class TrialTotalsOut(msgspec.Struct, forbid_unknown_fields=True, kw_only=True):
    debit: str
    credit: str
    postings: str


class LiabilityRowOut(_RowOut, forbid_unknown_fields=True, kw_only=True):
    """opening + accrued - redeemed - expired + adjusted + transferred = closing, in points.

    `accrued` is net of what returned goods took back, `redeemed` of what they restored;
    `activated` became available and moved nothing. available + deferred + held + debt = closing;
    a debt has a minus. Add `&movement=` and a column's name to `postings` for what it adds up;
    `opening_postings` and `closing_postings` add up to `opening` and `closing`.
    """

    opening: str
    accrued: str
    activated: str
    redeemed: str
    expired: str
    adjusted: str
    transferred: str
    closing: str
    available: str
    deferred: str
    held: str
    debt: str


class ProgramRowOut(_RowOut, forbid_unknown_fields=True, kw_only=True):
    """In points: what was given in the period and what became of it, and what is `outstanding` at
    its end; in money: what the redeemed ones cost, and what the outstanding ones are worth.
    `redemption_rate`: redeemed over issued, both net; null when nothing was issued. `&kind=` after
    `postings`: `accrue` issued, `revoke` revoked, `redeem` and `capture` redeemed, `restore`
    restored, `expire` expired, `transfer` transferred, the others adjusted."""

    issued: str
    revoked: str
    redeemed: str
    restored: str
    expired: str
    adjusted: str
    transferred: str
    outstanding: str
    cost: str
    outstanding_value: str
    postings_count: int
    redemption_rate: str | UnsetType | None = UNSET


class AgeingRowOut(_RowOut, forbid_unknown_fields=True, kw_only=True):
    """What is owed, together the closing of the roll-forward. `expires`: the first day of the
    period the points expire in; null: never."""

    expires: date | UnsetType | None = UNSET

    available: str
    deferred: str
    held: str
    debt: str
    total: str


class _ReportOut(
    msgspec.Struct, forbid_unknown_fields=True, kw_only=True, rename={"from_": "from"}
):
    """`filters`: what else restricts it."""

    from_: datetime | None
    to: datetime | None
    as_of: datetime | None
    known_at: datetime | None
    time: TimeAxis
    filters: dict[str, str]
    by: list[Dimension]


class TrialBalanceOut(_ReportOut, forbid_unknown_fields=True, kw_only=True):
    rows: list[TrialRowOut]
    totals: TrialTotalsOut


class LiabilityOut(_ReportOut, forbid_unknown_fields=True, kw_only=True):
    rows: list[LiabilityRowOut]
    totals: LiabilityRowOut


class ProgramsOut(_ReportOut, forbid_unknown_fields=True, kw_only=True):
    rows: list[ProgramRowOut]
    totals: ProgramRowOut


class AgeingOut(_ReportOut, forbid_unknown_fields=True, kw_only=True):
    rows: list[AgeingRowOut]
    totals: AgeingRowOut


class EntryOut(msgspec.Struct, forbid_unknown_fields=True, kw_only=True):
    """A posting as its account sees it: what left (`debit`), what arrived (`credit`), where from
    or to, and the balance after it."""

    occurred_at: datetime
    recorded_at: datetime
    transaction_id: UUID
    customer_id: UUID
    version: int
    seq: int
    transaction_kind: str
    kind: str
    counter_account: Account
    receipt: str | None
    program: str | None
    program_version: int | None
    channel: str | None
    store: str | None
    product_group: str | None
    bucket: str
    author: str | None
    debit: str
    credit: str
    balance: str


class EntryPage(msgspec.Struct, forbid_unknown_fields=True, kw_only=True):
    """`opening` is the balance before the first of these items."""

    opening: str
    items: list[EntryOut]
    next_cursor: str | None


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
    """`receipt`: the number of the receipt or return it was posted for; `author`: the name of the
    key that did."""

    transaction_id: UUID
    transaction_kind: str
    receipt: str | None
    author: str | None
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
