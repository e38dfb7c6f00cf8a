"""Redemptions on the wire."""

from __future__ import annotations

from datetime import datetime
from typing import Annotated, Any, Literal, Self
from uuid import UUID

import msgspec

from billing.common.wire import Amount, Code, Schema
from billing.customers.schemas import CustomerRef
from billing.receipts.schemas import PrintOut, ReceiptIn

MAX_HOLD_SECONDS = 7 * 24 * 3600


class PointsOrMax(int):
    """A number of points, or `"max"`: as many as there are and the receipt takes (-1 inside)."""

    MAX = -1
    SCHEMA: Schema = {  # noqa: RUF012
        "type": "string",
        "pattern": r"^(max|[0-9]{1,13}(\.[0-9]{1,2})?)$",
        "examples": ["50.00", "max"],
    }

    @classmethod
    def from_wire(cls, value: object) -> Self:
        return cls(cls.MAX) if value == "max" else cls(Amount.from_wire(value))


class RedemptionIn(msgspec.Struct, forbid_unknown_fields=True, kw_only=True):
    """Points to pay a receipt with: at once (`capture`), or reserved first (`hold`). Where so many
    points need a code of the customer, `verification_id` names the one that confirmed it."""

    customer: CustomerRef
    channel: Code | None = None
    store: Code | None = None
    receipt: ReceiptIn
    points: PointsOrMax
    mode: Literal["hold", "capture"] = "capture"
    verification_id: UUID | None = None
    hold_seconds: Annotated[int, msgspec.Meta(ge=1, le=MAX_HOLD_SECONDS)] | None = None

    def __post_init__(self) -> None:
        if self.hold_seconds is not None and self.mode != "hold":
            raise ValueError("hold_seconds goes with mode hold")


class CaptureIn(msgspec.Struct, forbid_unknown_fields=True):
    """How many of the held points to spend; all, if left out. The rest is released."""

    points: Amount | None = None


class PartOut(msgspec.Struct):
    lot_id: UUID
    bucket: str
    points: str
    expires_at: datetime | None


class PaidLineOut(msgspec.Struct):
    """`payable` is left to be paid in money; `print` is how a fiscal receipt shows it, empty for
    a line that points pay nothing of."""

    line: int
    points_paid: str
    payable: str
    print: list[PrintOut]


class RedemptionOut(msgspec.Struct):
    """`points` is what is held or was redeemed; `parts` tell from which lots."""

    id: UUID
    customer_id: UUID
    receipt_number: str
    status: Literal["held", "captured", "released", "expired"]
    points: str
    parts: list[PartOut]
    lines: list[PaidLineOut]
    hold_expires_at: datetime | None
    balance: dict[str, Any]
