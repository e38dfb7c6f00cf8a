"""Verifications on the wire."""

from __future__ import annotations

import ipaddress
from datetime import datetime
from typing import Annotated, ClassVar, Final, Self
from uuid import UUID

import msgspec

from billing.common.money import format_amount
from billing.common.wire import Amount, Code, Schema
from billing.customers.schemas import Phone, Text
from billing.messages.model import Delivery, Language
from billing.messages.model import Status as DeliveryStatus
from billing.verifications.model import By, Method, Purpose, Verification, pause_after

MAX_CODE_LENGTH = 10


BY_OTHERS: Final[frozenset[Method]] = frozenset(("provider", "flash_call"))
"""Methods whose message or call does not carry the chain's own words."""


class VerificationIn(msgspec.Struct, forbid_unknown_fields=True, kw_only=True):
    """What is to be confirmed, and how. `phone` is the new one of a `phone_change`; `points` the
    most that a `redemption` may then pay; `address` that of a website's visitor. `text` (of
    `text_version`) is the consent that was shown for a `registration` by `provider` or
    `flash_call`: there it is not in the message."""

    purpose: Purpose
    method: Method = "sms_code"
    channel: Code | None = None
    store: Code | None = None
    seller: Text | None = None
    language: Language | None = None
    phone: Phone | None = None
    points: Amount | None = None
    text: Annotated[str, msgspec.Meta(min_length=1, max_length=10_000)] | None = None
    text_version: Text | None = None
    address: Annotated[str, msgspec.Meta(max_length=45, examples=["203.0.113.7"])] | None = None

    def __post_init__(self) -> None:
        if (self.phone is None) == (self.purpose == "phone_change"):
            raise ValueError("phone is needed for a phone_change, and for nothing else")
        if (self.points is None) == (self.purpose == "redemption") or self.points == 0:
            raise ValueError(
                "points is needed for a redemption, above zero, and for nothing else: the most "
                "that the code is good for"
            )
        shown = self.purpose == "registration" and self.method in BY_OTHERS
        if (self.text is None) == shown or (self.text_version is not None and not shown):
            raise ValueError(
                "text is needed for a registration by provider or flash_call, and for nothing "
                "else: the consent that the customer was shown, word for word"
            )
        if self.address is not None:
            try:
                ipaddress.ip_address(self.address)
            except ValueError:
                raise ValueError("address must be an IP address") from None


class Digits(str):
    """A code as it was told."""

    __slots__ = ()
    SCHEMA: ClassVar[Schema] = {
        "type": "string",
        "pattern": f"^[0-9]{{4,{MAX_CODE_LENGTH}}}$",
        "examples": ["123456"],
    }

    @classmethod
    def from_wire(cls, value: object) -> Self:
        good = isinstance(value, str) and value.isascii() and value.isdigit()
        if not good or not 4 <= len(str(value)) <= MAX_CODE_LENGTH:
            raise ValueError(f'must be 4 to {MAX_CODE_LENGTH} digits such as "123456"')
        return cls(value)


class ConfirmIn(msgspec.Struct, forbid_unknown_fields=True):
    """The code the customer told."""

    code: Digits


class VerificationOut(msgspec.Struct, kw_only=True):
    """A verification as it is now. A new code may be sent from `resend_at` on; `delivery` is what
    is known of the last message."""

    id: UUID
    customer_id: UUID
    purpose: Purpose
    method: Method
    state: str
    phone_masked: str
    language: Language
    points: str | None
    attempts_left: int
    sends: int
    sent_at: datetime
    resend_at: datetime
    expires_at: datetime
    confirmed_at: datetime | None
    confirmed_by: By | None
    delivery: DeliveryStatus | None


def verification_out(
    found: Verification, now: datetime, delivery: Delivery | None
) -> VerificationOut:
    """A verification as it is shown."""
    return VerificationOut(
        state=found.told_state(now),
        points=None if found.points is None else format_amount(found.points),
        attempts_left=found.max_attempts - found.attempts,
        resend_at=found.sent_at + pause_after(found.sends),
        delivery=None if delivery is None else delivery.status,
        **{
            name: getattr(found, name)
            for name in (
                "id", "customer_id", "purpose", "method", "phone_masked", "language", "sends",
                "sent_at", "expires_at", "confirmed_at", "confirmed_by",
            )
        },
    )  # fmt: skip
