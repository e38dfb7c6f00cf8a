"""Adjustments on the wire."""

from __future__ import annotations

import re
from datetime import datetime
from typing import Annotated, ClassVar, Self
from uuid import UUID

import msgspec

from billing.balances.schemas import BalanceOut
from billing.common.wire import Instant, Schema, SignedAmount
from billing.customers.schemas import CustomerRef
from ledger.flows import Bucket

MAX_REASON = 500

_HIDDEN = r"\x00-\x1f\x7f-\x9f\u200b-\u200f\u2028-\u202e\u2060-\u206f\ufeff"
_REASON = re.compile(rf"[^{_HIDDEN}]*[^\s{_HIDDEN}][^{_HIDDEN}]*")


class Reason(str):
    """Why somebody did it by hand: what an auditor will read years later."""

    __slots__ = ()
    SCHEMA: ClassVar[Schema] = {
        "type": "string",
        "minLength": 1,
        "maxLength": MAX_REASON,
        "pattern": f"^{_REASON.pattern}$",
        "examples": ["Compensation for a faulty blender, claim 4711"],
    }

    @classmethod
    def from_wire(cls, value: object) -> Self:
        if not isinstance(value, str) or not 1 <= len(value) <= MAX_REASON:
            raise ValueError(f"must be a text of 1 to {MAX_REASON} characters")
        if not value.strip():
            raise ValueError("must not be blank: say why the points are given or taken")
        if not _REASON.fullmatch(value):
            raise ValueError("must be one line of visible characters and spaces")
        return cls(value)


class AdjustmentIn(msgspec.Struct, forbid_unknown_fields=True, kw_only=True):
    """Points to give (`"+10.00"`) or to take (`"-10.00"`).

    Given points make a lot of their own, that may have `available_from` and `expires_at`; taken
    ones come from what is available in the bucket, in burn order.
    """

    customer: CustomerRef
    points: SignedAmount
    reason: Reason
    bucket: Bucket = "base"
    available_from: Instant | None = None
    expires_at: Instant | None = None


class AdjustmentOut(msgspec.Struct, forbid_unknown_fields=True, kw_only=True):
    """`id` is the transaction's."""

    id: Annotated[UUID, msgspec.Meta(description="Also of `GET /v1/ledger/transactions/{id}`.")]
    customer_id: UUID
    points: str
    bucket: Bucket
    reason: str
    occurred_at: datetime
    balance: BalanceOut
