"""Receipts on the wire (spec: Receipt; Quote, sale, accrual, redemption, return)."""

from __future__ import annotations

import re
from datetime import datetime
from typing import Annotated, Any, ClassVar, Literal, Self
from uuid import UUID

import msgspec

from billing.common.wire import Amount, Code, Instant, Schema
from billing.customers.schemas import CustomerRef

MAX_LINES = 1000
MAX_PAYMENTS = 50
MAX_CODES = 20


class Quantity(int):
    """How much of a product, in millionths; `"0.357"` on the wire."""

    UNIT: ClassVar[int] = 1_000_000
    SCHEMA: ClassVar[Schema] = {
        "type": "string",
        "pattern": r"^[0-9]{1,9}(\.[0-9]{1,6})?$",
        "examples": ["2", "0.357"],
    }
    _FORM: ClassVar[re.Pattern[str]] = re.compile(r"([0-9]{1,9})(?:\.([0-9]{1,6}))?", re.ASCII)

    @classmethod
    def from_wire(cls, value: object) -> Self:
        if not isinstance(value, str):
            raise ValueError('must be a decimal string such as "2" or "0.357", not a number')
        found = cls._FORM.fullmatch(value)
        if found is None:
            raise ValueError('must be a decimal string such as "2" or "0.357"')
        whole, fraction = found.groups()
        return cls(int(whole) * cls.UNIT + int((fraction or "").ljust(6, "0")))

    def text(self) -> str:
        """As on the wire, without idle zeros."""
        whole, fraction = divmod(int(self), self.UNIT)
        if not fraction:
            return str(whole)
        return f"{whole}.{fraction:06d}".rstrip("0").rstrip(".")


class LineIn(msgspec.Struct, forbid_unknown_fields=True):
    """`amount` is the line's sum before points. `group` may be left out when the sku is known."""

    line: Annotated[int, msgspec.Meta(ge=1, le=1_000_000)]
    sku: Code
    quantity: Quantity
    price: Amount
    amount: Amount
    group: Code | None = None
    promo: bool = False


class PaymentIn(msgspec.Struct, forbid_unknown_fields=True):
    type: Code
    amount: Amount


class ReceiptIn(msgspec.Struct, forbid_unknown_fields=True):
    number: Code
    occurred_at: Instant
    lines: Annotated[list[LineIn], msgspec.Meta(min_length=1, max_length=MAX_LINES)]
    payments: Annotated[list[PaymentIn], msgspec.Meta(max_length=MAX_PAYMENTS)] = []
    codes: Annotated[list[Code], msgspec.Meta(max_length=MAX_CODES)] = []
    """Promotional codes or coupons that the customer showed."""


class PointsIn(msgspec.Struct, forbid_unknown_fields=True):
    """Pay so many points, or with a redemption that was held before: one of the two. Where so
    many points need a code of the customer, `verification_id` names the one that confirmed it."""

    points: Amount | None = None
    redemption_id: UUID | None = None
    verification_id: UUID | None = None

    def __post_init__(self) -> None:
        if (self.points is None) == (self.redemption_id is None):
            raise ValueError("needs exactly one of points, redemption_id")


class SaleIn(msgspec.Struct, forbid_unknown_fields=True, kw_only=True):
    """A sale. `channel` and `store` may be left out by a key that is bound to them. With
    `quote_id` it happens just as it was quoted, or not at all (`quote_stale`)."""

    customer: CustomerRef
    channel: Code | None = None
    store: Code | None = None
    receipt: ReceiptIn
    redeem: PointsIn | None = None
    quote_id: UUID | None = None


class StatedIn(msgspec.Struct, forbid_unknown_fields=True):
    points: Amount
    bucket: Literal["base", "promo"] = "base"


class AccrualIn(msgspec.Struct, forbid_unknown_fields=True, kw_only=True):
    """A sale that only earns. `stated` posts these very points instead of calculating them."""

    customer: CustomerRef
    channel: Code | None = None
    store: Code | None = None
    receipt: ReceiptIn
    stated: Annotated[list[StatedIn], msgspec.Meta(min_length=1, max_length=10)] | None = None


class SlipQuery(msgspec.Struct, forbid_unknown_fields=True):
    """How wide the till prints."""

    columns: Literal[32, 42, 48] = 32


class AccrualOut(msgspec.Struct):
    """`available_from` null: from when the customer is verified."""

    program: str | None
    version: int | None
    bucket: str
    points: str
    available_from: datetime | None
    expires_at: datetime | None


class LineAccrual(msgspec.Struct):
    program: str
    points: str


class PrintOut(msgspec.Struct):
    """A line of a fiscal receipt: quantity × price is exactly the amount."""

    quantity: str
    price: str
    amount: str


class LineOut(msgspec.Struct):
    """`print`: how to print a line that points pay in part; empty when none do."""

    line: int
    points_paid: str
    payable: str
    accruals: list[LineAccrual]
    print: list[PrintOut]


class SlipOut(msgspec.Struct):
    phone_masked: str
    accrued: str
    paid_with_points: str
    balance_total: str
    balance_promo: str
    future_accruals: list[dict[str, str]]
    text: list[str]


class SaleOut(msgspec.Struct):
    """`debt_paid` is what of the accruals went into an earlier debt."""

    id: UUID
    receipt_number: str
    customer_id: UUID
    redeemed: str
    accruals: list[AccrualOut]
    debt_paid: str
    lines: list[LineOut]
    balance: dict[str, Any]
    slip: SlipOut


class PostingOut(msgspec.Struct):
    transaction_id: UUID
    kind: str
    debit: str
    credit: str
    points: str
    lot_id: UUID
    bucket: str
    program: str | None
    program_version: int | None
    product_group: str | None


class StoredReceipt(msgspec.Struct):
    """A posted sale with everything that belongs to it."""

    id: UUID
    customer_id: UUID
    channel: str
    store: str | None
    number: str
    occurred_at: datetime
    recorded_at: datetime
    total: str
    redeemed: str
    accrued: str
    lines: list[dict[str, Any]]
    payments: list[dict[str, Any]]
    programs: list[dict[str, Any]]
    postings: list[PostingOut]
    returns: list[dict[str, Any]]
