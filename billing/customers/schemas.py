"""Customers on the wire."""

from __future__ import annotations

from datetime import date, datetime
from typing import Annotated
from uuid import UUID

import msgspec
from msgspec import UNSET, UnsetType

from billing.common.wire import Code, PageQuery
from billing.customers.model import Gender, Status

Text = Annotated[str, msgspec.Meta(min_length=1, max_length=200)]
Phone = Annotated[
    str,
    msgspec.Meta(
        max_length=32,
        examples=["+79161234567"],
        description="In any usual form; a number without a country code is of the chain's country.",
    ),
]
Email = Annotated[str, msgspec.Meta(min_length=3, max_length=254, examples=["anna@example.org"])]
MAX_EXTERNAL_IDS = 50
Codes = Annotated[list[Code], msgspec.Meta(max_length=50)]
ExternalIds = Annotated[dict[Code, Code], msgspec.Meta(max_length=MAX_EXTERNAL_IDS)]
ChangedIds = Annotated[dict[Code, Code | None], msgspec.Meta(max_length=MAX_EXTERNAL_IDS)]


class CustomerRef(msgspec.Struct, forbid_unknown_fields=True, frozen=True):
    """A customer named by exactly one of these."""

    customer_id: UUID | None = None
    phone: Phone | None = None
    card: Code | None = None

    def __post_init__(self) -> None:
        if (self.customer_id, self.phone, self.card).count(None) != 2:
            raise ValueError("must name the customer by exactly one of customer_id, phone, card")

    @property
    def kind(self) -> str:
        """Which of them it is, in words."""
        if self.customer_id is not None:
            return "id"
        return "phone" if self.phone is not None else "card"


class CustomerIn(msgspec.Struct, forbid_unknown_fields=True, kw_only=True):
    """A customer to register."""

    phone: Phone
    name: Text | None = None
    birth_date: date | None = None
    email: Email | None = None
    gender: Gender | None = None
    channel: Code | None = None
    store: Code | None = None
    seller: Text | None = None
    cards: Codes = []
    external_ids: ExternalIds = {}
    tags: Codes = []
    status: Status = "unverified"


class CustomerPatch(msgspec.Struct, forbid_unknown_fields=True, kw_only=True):
    """What to change, as RFC 7396: what is left out stays, null clears, lists are replaced."""

    phone: Phone | UnsetType = UNSET
    name: Text | UnsetType | None = UNSET
    birth_date: date | UnsetType | None = UNSET
    email: Email | UnsetType | None = UNSET
    gender: Gender | UnsetType | None = UNSET
    channel: Code | UnsetType | None = UNSET
    store: Code | UnsetType | None = UNSET
    seller: Text | UnsetType | None = UNSET
    cards: Codes | UnsetType = UNSET
    external_ids: ChangedIds | UnsetType = UNSET
    tags: Codes | UnsetType = UNSET
    status: Status | UnsetType = UNSET


class CustomerOut(msgspec.Struct, kw_only=True):
    """A customer. Roles without access to personal data get neither phone nor person; of who was
    erased there is none. `merged_into` has the points and goes on in this one's place."""

    id: UUID
    status: Status
    phone_masked: str
    phone: str | UnsetType | None = UNSET
    name: str | UnsetType | None = UNSET
    birth_date: date | UnsetType | None = UNSET
    email: str | UnsetType | None = UNSET
    gender: Gender | UnsetType | None = UNSET
    cards: list[str] | UnsetType = UNSET
    external_ids: dict[str, str] | UnsetType = UNSET
    channel: str | None = None
    store: str | None = None
    seller: str | None = None
    tags: list[str]
    created_at: datetime
    updated_at: datetime
    verified_at: datetime | None = None
    merged_into: UUID | None = None


class CustomersQuery(PageQuery, forbid_unknown_fields=True, kw_only=True):
    """Exactly one of these; `external_id` is `system:value`, `name` the beginnings of words."""

    phone: str | None = None
    card: str | None = None
    external_id: str | None = None
    name: Annotated[str, msgspec.Meta(min_length=2, max_length=200)] | None = None


class CardIn(msgspec.Struct, forbid_unknown_fields=True):
    """A further card of the customer."""

    card: Code


class CardPatch(msgspec.Struct, forbid_unknown_fields=True):
    """A lost card is blocked: whoever shows it gets nothing."""

    blocked: bool


class CardOut(msgspec.Struct):
    card: str
    blocked_at: datetime | None


class CardPage(msgspec.Struct):
    items: list[CardOut]
    next_cursor: str | None


class MergeIn(msgspec.Struct, forbid_unknown_fields=True):
    """The customer who stays, and why they are the same person."""

    into: UUID
    reason: Text


class MergeOut(msgspec.Struct, kw_only=True):
    """A merge of `customer_id` into `into`. `points` were moved by what is told here."""

    id: UUID
    customer_id: UUID
    into: UUID
    reason: str
    author: str
    merged_at: datetime
    undone_at: datetime | None
    undone_by: str | None
    points: str


class MergePage(msgspec.Struct):
    items: list[MergeOut]
    next_cursor: str | None


class EraseIn(msgspec.Struct, forbid_unknown_fields=True):
    """Why the person's data is erased, such as the number of the request."""

    reason: Text


class ErasedOut(msgspec.Struct):
    customer_id: UUID
    erased_at: datetime


class CustomerPage(msgspec.Struct):
    items: list[CustomerOut]
    next_cursor: str | None
