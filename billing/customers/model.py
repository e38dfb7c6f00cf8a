"""Customers: what is known of them, and who may change what."""

from __future__ import annotations

from datetime import UTC, date, datetime
from functools import lru_cache
from typing import Final, Literal
from uuid import UUID

import msgspec
import phonenumbers

from billing.common.auth import Role
from billing.common.errors import Conflict, Forbidden
from billing.common.settings_values import Unverified

Status = Literal["unverified", "verified", "blocked"]
Gender = Literal["female", "male", "other"]

_PHONE_CHARACTERS = frozenset("+0123456789 ()-.\u00a0\u2011")
_COUNTRIES = phonenumbers.COUNTRY_CODE_TO_REGION_CODE
"""By their calling codes, of which none begins another."""
_OLDEST = date(1900, 1, 1)


class Customer(msgspec.Struct, frozen=True):
    """What the till's hot path needs to know of a customer; neither name nor phone is in it.

    `birth_date_since` is when the birth date was first entered or last changed.
    """

    id: UUID
    status: Status
    phone_masked: str
    tags: list[str]
    created_at: datetime
    channel: str | None = None
    store: str | None = None
    verified_at: datetime | None = None
    birth_date: date | None = None
    birth_date_since: datetime | None = None
    card_blocked: bool = False

    def waits_when_collecting(self, policy: Unverified) -> bool:
        """Whether points that are earned now wait until the customer is verified. Raises Conflict
        unless the customer may collect (B20, T50)."""
        if self.status == "unverified" and policy == "collect" and not self.card_blocked:
            return True
        self.must_be_active(policy)
        return False

    def must_be_active(self, policy: Unverified = "refuse") -> None:
        """Raise Conflict unless the customer may collect and spend points (B20)."""
        if self.status == "blocked":
            raise Conflict("customer_blocked", "The customer is blocked; support can unblock.")
        if self.card_blocked:
            raise Conflict(
                "customer_blocked",
                "This card is blocked; the customer has to show another one, or name the phone.",
            )
        if self.status != "verified" and policy != "all":
            raise Conflict(
                "customer_not_verified",
                "The customer has not confirmed the phone yet; points need a verified customer.",
            )


STORED: Final = tuple(name for name in Customer.__struct_fields__ if name != "card_blocked")
"""The columns a `Customer` is read from, in its order; whether a card is blocked depends on how
the customer was found."""


class Person(msgspec.Struct, frozen=True, omit_defaults=True):
    """The personal data of a customer, stored as one sealed document."""

    name: str | None = None
    email: str | None = None
    birth_date: date | None = None
    gender: Gender | None = None


class Profile(msgspec.Struct, kw_only=True):
    """A customer whole. Who is erased has no phone any more."""

    id: UUID
    phone: str | None
    phone_masked: str
    status: Status
    person: Person
    channel: str | None
    store: str | None
    seller: str | None
    tags: list[str]
    cards: list[str]
    external_ids: dict[str, str]
    created_at: datetime
    updated_at: datetime
    verified_at: datetime | None
    birth_date_since: datetime | None = None
    merged_into: UUID | None = None


@lru_cache(maxsize=10_000)
def normalise_phone(text: str, region: str) -> str:
    """`text` in E.164, such as "+79161234567". Raises ValueError with a message for the sender.

    Only the length is checked against the country's plan: new ranges of numbers appear every
    year, and a real customer must not be refused for an old table of ours.
    """
    if len(text) > 32 or not _PHONE_CHARACTERS.issuperset(text):
        raise ValueError('must be a phone number such as "+79161234567"')
    try:
        number = phonenumbers.parse(text, region)
    except phonenumbers.NumberParseException:
        raise ValueError('must be a phone number such as "+79161234567"') from None
    if not phonenumbers.is_possible_number(number):
        raise ValueError("has too few or too many digits for a phone number of its country")
    return phonenumbers.format_number(number, phonenumbers.PhoneNumberFormat.E164)


def mask_phone(phone: str) -> str:
    """`"+79161234567"` as `"+7******4567"`: enough for its owner to recognise it."""
    code = next(phone[1:end] for end in (2, 3, 4) if int(phone[1:end]) in _COUNTRIES)
    hidden = len(phone) - 1 - len(code) - 4
    return f"+{code}{'*' * max(hidden, 0)}{phone[-4:]}"


def check_birth_date(born: date) -> date:
    """Raises ValueError unless somebody alive can be born then."""
    if not _OLDEST <= born <= datetime.now(UTC).date():
        raise ValueError("must be between 1900-01-01 and today")
    return born


def check_status_change(role: Role, old: Status, new: Status, *, verified_before: bool) -> None:
    """Raise Forbidden unless `role` may turn `old` into `new`.

    Only an admin verifies by decree. Support blocks and unblocks; unblocking gives back
    "verified" only to those who were.
    """
    if old == new or role == "admin":
        return
    if role == "support" and new == "blocked":
        return
    if role == "support" and old == "blocked" and (new == "unverified" or verified_before):
        return
    raise Forbidden(
        f"A key of role {role} may not make a customer who is {old} {new}: support blocks and "
        "unblocks, admin may do all."
    )
