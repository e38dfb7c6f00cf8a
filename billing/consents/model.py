"""Consents: what was agreed to or taken back, when, how and in which words."""

from __future__ import annotations

from datetime import datetime
from typing import Literal
from uuid import UUID

import msgspec

Kind = Literal["processing", "messages"]
"""`processing`: of personal data, without which there is no taking part; `messages`: being written
to about offers and points."""

Action = Literal["given", "withdrawn"]

How = Literal["code", "reply", "provider", "api", "inbound", "erasure"]
"""`code`: told to the cashier or typed on the site; `reply`: by an answer to the SMS; `provider`:
by the provider's own check; `api`: as somebody entered it; `inbound`: by an SMS of the customer's
own; `erasure`: with the person's data."""


class Consent(msgspec.Struct, kw_only=True):
    """One line of the record; its fields are the columns."""

    id: UUID
    customer_id: UUID
    kind: Kind
    action: Action
    at: datetime
    method: How
    text_version: str | None = None
    text_sha256: bytes | None = None
    text_encrypted: bytes | None = None
    language: str | None = None
    requested_at: datetime | None = None
    channel: str | None = None
    store: str | None = None
    seller: str | None = None
    author: str | None = None
    verification_id: UUID | None = None
    message_id: UUID | None = None
    provider_message_id: str | None = None
