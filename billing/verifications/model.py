"""Verifications: what they are, and the rules of codes."""

from __future__ import annotations

import hmac
import secrets
from datetime import datetime, timedelta
from typing import Final, Literal
from uuid import UUID

import msgspec
import phonenumbers

from billing.common.auth import Role
from billing.common.errors import Conflict, Forbidden, ValidationFailed
from billing.common.settings import Settings
from billing.common.settings_values import Limit
from billing.messages.model import Language

Purpose = Literal["registration", "redemption", "phone_change"]
"""`registration`: the phone is the customer's, and they consent; `redemption`: the customer agrees
to one payment with points; `phone_change`: the new phone is the customer's."""

Method = Literal["sms_code", "sms_reply", "provider", "flash_call"]
"""`sms_code`: a code by SMS that the customer tells; `sms_reply`: the customer answers the SMS, by
the code or by yes; `provider`: the SMS provider makes and checks the code; `flash_call`: the last
digits of the number that calls."""

State = Literal["open", "confirmed", "failed", "superseded"]
"""`failed`: too many wrong codes; `superseded`: a newer one of the same purpose took its place.
An open one whose time is over is told as `expired`."""

By = Literal["code", "reply", "provider"]

DIGITS: Final = 6
CALL_DIGITS: Final = 4
LIFE: Final = timedelta(minutes=10)
ATTEMPTS: Final = 5
CALL_ATTEMPTS: Final = 3
"""Four digits are guessed a hundred times sooner."""
MAX_SENDS: Final = 5
CONFIRMED_FOR: Final = timedelta(minutes=10)
"""How long a confirmed redemption waits for its payment."""
FIRST_PAUSE: Final = timedelta(seconds=30)
LONGEST_PAUSE: Final = timedelta(minutes=32)
FORGOTTEN_AFTER: Final = timedelta(hours=24)
"""After so long without a code the pause between two begins at its shortest again."""
CODE_MARK: Final = "••••••"
"""Stands in a kept text for the code, which nobody keeps."""

_DEAR: Final = frozenset(
    (
        phonenumbers.PhoneNumberType.PREMIUM_RATE,
        phonenumbers.PhoneNumberType.SHARED_COST,
        phonenumbers.PhoneNumberType.PERSONAL_NUMBER,
        phonenumbers.PhoneNumberType.UAN,
        phonenumbers.PhoneNumberType.VOICEMAIL,
    )
)


class Verification(msgspec.Struct, kw_only=True):
    """A verification as stored; its fields are the columns."""

    id: UUID
    customer_id: UUID
    purpose: Purpose
    method: Method
    state: State
    phone_hash: bytes | None
    phone_masked: str
    phone_encrypted: bytes | None
    language: Language
    points: int | None
    code_mac: bytes | None
    provider_ref: str | None
    attempts: int
    max_attempts: int
    sends: int
    text_version: str
    text_encrypted: bytes | None
    message_id: UUID | None
    channel: str | None
    store: str | None
    seller: str | None
    author: str
    created_at: datetime
    sent_at: datetime
    expires_at: datetime
    confirmed_at: datetime | None = None
    confirmed_by: By | None = None

    def told_state(self, now: datetime) -> str:
        """Its state, as it is by now."""
        if self.state == "open" and self.attempts >= self.max_attempts:
            return "failed"
        return "expired" if self.state == "open" and self.expires_at <= now else self.state

    def is_live(self, now: datetime) -> bool:
        """Whether a code may still confirm it."""
        return self.told_state(now) == "open"

    @property
    def is_begun(self) -> bool:
        """Whether there is a code to confirm it by: a provider's call may have been lost."""
        return self.code_mac is not None or self.provider_ref is not None


class Rules(msgspec.Struct, frozen=True):
    """What a chain allows. `price` is of one segment, in 1/100 of money."""

    limits: tuple[Limit, ...]
    countries: frozenset[str]
    price: int

    @classmethod
    def of(cls, settings: Settings) -> Rules:
        """What the settings say."""
        return cls(settings.code_limits, settings.code_countries, settings.sms_price)


def new_code(method: Method) -> str:
    digits = CALL_DIGITS if method == "flash_call" else DIGITS
    return f"{secrets.randbelow(10**digits):0{digits}d}"


def most_attempts(method: Method) -> int:
    return CALL_ATTEMPTS if method == "flash_call" else ATTEMPTS


def same(mac: bytes | None, other: bytes) -> bool:
    """Whether they are the same, in a time that does not tell where they differ."""
    return hmac.compare_digest(mac or bytes(len(other)), other) and mac is not None


def pause_after(sends: int) -> timedelta:
    """How long to wait after so many codes to a phone: 30 s, 1, 2, 4 … minutes."""
    if sends == 0:
        return timedelta()
    doubled: int = 2 ** min(sends - 1, 16)
    return min(FIRST_PAUSE * doubled, LONGEST_PAUSE)


def country_of(phone: str) -> str:
    """The ISO 3166 country of an E.164 phone; of a code's main country, if nobody has it yet."""
    number = phonenumbers.parse(phone)
    found = phonenumbers.region_code_for_number(number)
    return found or phonenumbers.region_code_for_country_code(number.country_code or 0)


def check_reachable(phone: str, countries: frozenset[str]) -> None:
    """Raise ValidationFailed for a phone that codes are not sent to."""
    country = country_of(phone)
    if country not in countries:
        raise ValidationFailed.at(
            "/method",
            f"cannot be used: codes are not sent to phones of {country}; the operator names the "
            "countries in BONUS_CODE_COUNTRIES",
        )
    if _is_dear(phone):
        raise ValidationFailed.at("/method", "cannot be used: the phone is a paid or shared number")


def is_reachable(phone: str, countries: frozenset[str]) -> bool:
    """Whether anything is sent to a phone at all."""
    return country_of(phone) in countries and not _is_dear(phone)


def _is_dear(phone: str) -> bool:
    return phonenumbers.number_type(phonenumbers.parse(phone)) in _DEAR


def check_purpose(role: Role, purpose: Purpose) -> None:
    """Raise Forbidden unless a key of `role` may ask for it: a cashier must not take over an
    account by giving it a phone of their own."""
    if purpose == "phone_change" and role == "pos":
        raise Forbidden("A till may not change a customer's phone; the website or support may.")


def wrong() -> Conflict:
    """The one refusal of every code that does not confirm: it tells nothing more."""
    return Conflict(
        "verification_failed",
        "The code is wrong or no longer valid. After five attempts or ten minutes a new one has "
        "to be sent; GET shows the state.",
    )
