"""A message to be."""

from __future__ import annotations

from datetime import datetime
from typing import Literal
from uuid import UUID

import msgspec

Purpose = Literal["verification", "notice", "reply", "test"]
Language = Literal["ru", "en"]
Status = Literal["queued", "accepted", "sent", "delivered", "failed", "unknown", "expired"]


class NewMessage(msgspec.Struct, frozen=True, kw_only=True):
    """`phone` in E.164; it is not sent before `not_before`, nor from `expires_at` on."""

    id: UUID
    customer_id: UUID | None
    phone: str
    purpose: Purpose
    text: str
    language: Language
    expires_at: datetime
    not_before: datetime | None = None
    verification_id: UUID | None = None


class Delivery(msgspec.Struct, frozen=True):
    """What is known of a message on its way."""

    status: Status
    provider_message_id: str | None
