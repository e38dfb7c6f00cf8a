"""Balances, statements and lots on the wire (spec: Balance and statement)."""

from __future__ import annotations

from datetime import datetime
from typing import Annotated, Self
from uuid import UUID

import msgspec
from msgspec import UNSET, UnsetType

from billing.common.wire import Instant, PageQuery

BIGGEST = 2**63 - 1
Version = Annotated[int, msgspec.Meta(ge=1, le=BIGGEST)]


class QueryInstant(Instant):
    """A moment in an address, where a plus sign that was not written as %2B reads as a space."""

    @classmethod
    def from_wire(cls, value: object) -> Self:
        if isinstance(value, str) and value[-6:-5] == " ":
            value = f"{value[:-6]}+{value[-5:]}"
        return super().from_wire(value)


class BalanceQuery(msgspec.Struct, forbid_unknown_fields=True, kw_only=True):
    """`as_of`: when things happened; `known_at`: when they were recorded. Both inclusive."""

    as_of: QueryInstant | None = None
    known_at: QueryInstant | None = None


class FutureAccrualOut(msgspec.Struct):
    at: datetime
    points: str
    bucket: str
    program: str | None


class ExpiringOut(msgspec.Struct):
    """Points that are gone at the instant `at`."""

    at: datetime
    points: str
    bucket: str


class OpenHoldOut(msgspec.Struct):
    id: UUID
    points: str
    expires_at: datetime


class BalanceOut(msgspec.Struct, forbid_unknown_fields=True, kw_only=True):
    """What `billing.balances.model.balance_document` writes."""

    customer_id: UUID
    as_of: datetime
    available: str
    base: str
    promo: str
    held: str
    deferred: str
    debt: str
    spendable: str
    future_accruals: list[FutureAccrualOut]
    awaiting_verification: str | UnsetType = UNSET
    expiring: list[ExpiringOut] | UnsetType = UNSET
    holds: list[OpenHoldOut] | UnsetType = UNSET


class StatementItemOut(msgspec.Struct, forbid_unknown_fields=True, kw_only=True):
    """`points`: by how much available, deferred and held together, less the debt, changed."""

    transaction_id: UUID
    version: int
    kind: str
    occurred_at: datetime
    recorded_at: datetime
    points: str
    available_after: str
    deferred_after: str
    held_after: str
    debt_after: str
    store: str | None
    channel: str | None
    receipt: str | None
    program: str | None
    programs: list[str]
    corrects: UUID | None


class StatementPage(msgspec.Struct, forbid_unknown_fields=True):
    items: list[StatementItemOut]
    next_cursor: str | None


class LotsQuery(PageQuery, forbid_unknown_fields=True, kw_only=True):
    """`open=true`: only lots with points left; `open=false`: only those without."""

    open: bool | None = None


class LotOut(msgspec.Struct, forbid_unknown_fields=True, kw_only=True):
    """`points` were given; `redeemed` is net of what was restored. `available_from` null: from
    when the customer is verified."""

    id: UUID
    bucket: str
    points: str
    available: str
    deferred: str
    held: str
    redeemed: str
    revoked: str
    available_from: datetime | None
    expires_at: datetime | None
    program: str | None
    program_version: int | None
    occurred_at: datetime


class LotPage(msgspec.Struct, forbid_unknown_fields=True):
    items: list[LotOut]
    next_cursor: str | None
