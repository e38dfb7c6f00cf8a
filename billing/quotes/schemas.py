"""Quotes on the wire."""

from __future__ import annotations

from datetime import datetime
from uuid import UUID

import msgspec

from billing.common.wire import Code
from billing.customers.schemas import CustomerRef
from billing.receipts.schemas import AccrualOut, LineOut, ReceiptIn
from billing.redemptions.schemas import PointsOrMax


class QuoteIn(msgspec.Struct, forbid_unknown_fields=True, kw_only=True):
    """A receipt that is not closed yet. `redeem`: how many points are to pay, none if left out."""

    customer: CustomerRef
    channel: Code | None = None
    store: Code | None = None
    receipt: ReceiptIn
    redeem: PointsOrMax | None = None


class ExplanationOut(msgspec.Struct, omit_defaults=True):
    """What a program (None: the rules of paying with points) gave, to one line or to all."""

    outcome: str
    because: str
    program: str | None = None
    line: int | None = None


class QuoteOut(msgspec.Struct):
    """What a sale with this `quote_id` would do, until `holds_until` and while nothing changes."""

    quote_id: UUID
    holds_until: datetime
    customer_id: UUID
    lines: list[LineOut]
    max_redeemable: str
    redeem: str
    accruals: list[AccrualOut]
    total: str
    payable: str
    explanation: list[ExplanationOut]
