"""Returns on the wire (spec: Quote, sale, accrual, redemption, return)."""

from __future__ import annotations

from datetime import datetime
from typing import Annotated
from uuid import UUID

import msgspec

from billing.adjustments.schemas import Reason
from billing.balances.schemas import BalanceOut
from billing.common.wire import Amount, Code, Instant
from billing.customers.schemas import CustomerRef
from billing.receipts.schemas import MAX_LINES, PostingOut, Quantity
from ledger.flows import Bucket


class ReturnLineIn(msgspec.Struct, forbid_unknown_fields=True):
    """So much of a line of the receipt."""

    line: Annotated[int, msgspec.Meta(ge=1, le=1_000_000)]
    quantity: Quantity


class ByHandIn(msgspec.Struct, forbid_unknown_fields=True):
    """Points of a return whose receipt cannot be found: taken from what is available in the
    bucket, and given without an end unless `expires_at` says one."""

    revoke: Amount = Amount(0)
    restore: Amount = Amount(0)
    bucket: Bucket = "base"
    expires_at: Instant | None = None


class ReturnIn(msgspec.Struct, forbid_unknown_fields=True, kw_only=True):
    """Goods that come back. Without `lines` everything that is left of the receipt.

    The receipt is one of the same store (or channel) unless `receipt_store` or, for a sale
    without store, `receipt_channel` says another. Without a receipt (finance, admin): `customer`,
    `points` and `reason`.
    """

    number: Code
    occurred_at: Instant
    channel: Code | None = None
    store: Code | None = None
    receipt_number: Code | None = None
    receipt_channel: Code | None = None
    receipt_store: Code | None = None
    lines: (
        Annotated[list[ReturnLineIn], msgspec.Meta(min_length=1, max_length=MAX_LINES)] | None
    ) = None
    customer: CustomerRef | None = None
    points: ByHandIn | None = None
    reason: Reason | None = None


class RevokedOut(msgspec.Struct):
    """Of what a program gave; `program` is null for stated points."""

    program: str | None
    points: str


class ReturnedLineOut(msgspec.Struct):
    line: int
    quantity: str
    points_restored: str
    accruals_revoked: list[RevokedOut]


class CarriedOut(msgspec.Struct):
    """Points that rounding had left with a line returned earlier, and that come back now."""

    line: int
    program: str | None
    points: str


class ReturnSlip(msgspec.Struct):
    phone_masked: str
    revoked: str
    restored: str
    balance_total: str
    balance_promo: str
    text: list[str]


class ReturnOut(msgspec.Struct, kw_only=True):
    """What the goods had earned is `revoked` (of it `debt` was already spent and is owed now),
    `forgiven` (spent, and the program lets it go) or `expired` (unused, so nobody owes it); the
    lines and `carried` add up to these. `restored` is what points had paid; of it `reissued` had
    expired meanwhile, and was given anew. `id` is the transaction's."""

    id: UUID
    number: str
    receipt_number: str | None
    customer_id: UUID
    revoked: str
    restored: str
    reissued: str
    debt: str
    forgiven: str
    expired: str
    lines: list[ReturnedLineOut]
    carried: list[CarriedOut]
    balance: BalanceOut
    slip: ReturnSlip | None


class StoredReturn(msgspec.Struct, kw_only=True):
    """A posted return."""

    id: UUID
    number: str
    channel: str
    store: str | None
    receipt_id: UUID | None
    receipt_number: str | None
    receipt_channel: str | None
    receipt_store: str | None
    customer_id: UUID
    occurred_at: datetime
    recorded_at: datetime
    revoked: str
    restored: str
    reissued: str
    debt: str
    forgiven: str
    expired: str
    lines: list[ReturnedLineOut]
    carried: list[CarriedOut]
    reason: str | None
    postings: list[PostingOut]
