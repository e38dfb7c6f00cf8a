"""Events on the wire."""

from __future__ import annotations

from typing import Any
from uuid import UUID

import msgspec

from billing.common.wire import Code, Instant
from billing.customers.schemas import CustomerRef
from billing.quotes.schemas import ExplanationOut
from billing.receipts.schemas import AccrualOut


class EventIn(msgspec.Struct, forbid_unknown_fields=True, kw_only=True):
    """`birthday`, `referral`, or an event of the chain's own.

    `id` is the sender's name of this occurrence of an own event; `referred` whom the customer
    brought. Without `channel` and `store` it counts where the customer registered.
    """

    customer: CustomerRef
    event: Code
    occurred_at: Instant
    id: Code | None = None
    referred: CustomerRef | None = None
    channel: Code | None = None
    store: Code | None = None


class EventOut(msgspec.Struct):
    """`id` is the transaction's; null when nothing was given, and so nothing written."""

    id: UUID | None
    customer_id: UUID
    event: str
    accruals: list[AccrualOut]
    balance: dict[str, Any]
    explanation: list[ExplanationOut]
