"""A message, and the order of its statuses. Pure."""

from __future__ import annotations

from datetime import datetime
from decimal import Decimal
from typing import Final, Literal
from uuid import UUID

import msgspec

from billing.programs.words import Language as Language

Purpose = Literal["verification", "notice", "reply", "test"]
"""`verification`: a code, or the consent text with it. `notice`: told unasked, so quiet hours and
opt-outs count. `reply`: an answer to a customer's SMS. `test`: by an administrator."""

Status = Literal["queued", "unknown", "accepted", "sent", "expired", "failed", "delivered"]
"""In this order, and only forward: `queued` waits for its turn; `unknown`: a provider may or may
not have taken it, and is asked; `accepted` by a provider; `sent` to the operator; `expired`:
nobody took or delivered it in time; `failed`; `delivered`."""

ORDER: Final[tuple[Status, ...]] = (
    "queued", "unknown", "accepted", "sent", "expired", "failed", "delivered",
)  # fmt: skip
FINAL: Final[frozenset[Status]] = frozenset(("expired", "failed", "delivered"))

URGENCY: Final[dict[Purpose, int]] = {"verification": 0, "reply": 1, "test": 1, "notice": 2}
"""Who stands at the till goes before a million notices."""

Channel = Literal["sms"]
"""How a message travels. Telegram, push or VK become another value, with senders of their own."""

AttemptOutcome = Literal["accepted", "rejected", "refused", "unknown", "lost"]
"""`refused`: nothing was sent, the provider cannot be reached. `lost`: unknown, until the provider
said that it never came."""


class NewMessage(msgspec.Struct, frozen=True, kw_only=True):
    """A message to be sent. `phone` is E.164. `cause` makes it unique: of one cause there is one
    message. `zone` (IANA) has quiet hours counted there. `via` names the one provider to use."""

    id: UUID
    phone: str
    purpose: Purpose
    text: str
    language: Language
    expires_at: datetime
    customer_id: UUID | None = None
    not_before: datetime | None = None
    verification_id: UUID | None = None
    kind: str | None = None
    cause: UUID | None = None
    zone: str | None = None
    via: str | None = None


class Message(msgspec.Struct, frozen=True, kw_only=True):
    """A message as people see it: never its text. `price` is the provider's, in `currency` if it
    said one; `segments` as the provider counted, or as we did. `dead`: it waits for a person."""

    id: UUID
    channel: Channel
    customer_id: UUID | None
    phone_masked: str
    purpose: Purpose
    kind: str | None
    language: Language
    verification_id: UUID | None
    status: Status
    status_at: datetime
    provider: str | None
    provider_message_id: str | None
    segments: int
    price: Decimal | None
    currency: str | None
    error: str | None
    attempts: int
    dead: bool
    created_at: datetime
    not_before: datetime
    expires_at: datetime


class Written(msgspec.Struct, frozen=True, kw_only=True):
    """An SMS of a customer's: what was asked for, and what came of it. Its words are not kept."""

    command: str
    outcome: str
    answered: bool
    provider: str
    received_at: datetime


class Delivery(msgspec.Struct, frozen=True):
    """What is known of a message on its way."""

    status: Status
    provider_message_id: str | None


class Attempt(msgspec.Struct, frozen=True, kw_only=True):
    """One try at a provider; `outcome` None while it goes on."""

    provider: str
    at: datetime
    finished_at: datetime | None
    outcome: AttemptOutcome | None
    code: str | None
    detail: str | None
    provider_message_id: str | None


def later(old: Status, new: Status) -> Status:
    """The one that is further on: whatever order reports come in, the end is the same."""
    return max(old, new, key=ORDER.index)
