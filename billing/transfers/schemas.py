"""Transfers on the wire."""

from __future__ import annotations

from datetime import datetime
from typing import Annotated
from uuid import UUID

import msgspec

from billing.adjustments.schemas import Reason
from billing.balances.schemas import BalanceOut
from billing.customers.schemas import CustomerRef
from billing.redemptions.schemas import PointsOrMax


class TransferIn(
    msgspec.Struct, forbid_unknown_fields=True, kw_only=True, rename={"from_": "from"}
):
    """Points of one customer for another; lots keep their bucket, program and expiry."""

    from_: CustomerRef
    to: CustomerRef
    points: PointsOrMax
    reason: Reason


class TransferOut(msgspec.Struct, forbid_unknown_fields=True, kw_only=True):
    """`balance` is that of the customer the points came from. `operation_id` ties the two
    transactions, of which `id` is the first."""

    id: Annotated[UUID, msgspec.Meta(description="Also of `GET /v1/ledger/transactions/{id}`.")]
    operation_id: UUID
    from_customer_id: UUID
    to_customer_id: UUID
    points: str
    reason: str
    occurred_at: datetime
    balance: BalanceOut
