"""Consents on the wire."""

from __future__ import annotations

from datetime import datetime
from typing import Annotated
from uuid import UUID

import msgspec

from billing.common.wire import Code
from billing.consents.model import Action, Consent, How, Kind
from billing.customers.schemas import Text


class ConsentIn(msgspec.Struct, forbid_unknown_fields=True, kw_only=True):
    """What a customer said: `given` or `withdrawn`, and the text it was said to."""

    kind: Kind
    action: Action
    text: Annotated[str, msgspec.Meta(min_length=1, max_length=10_000)] | None = None
    text_version: Text | None = None
    channel: Code | None = None
    store: Code | None = None
    seller: Text | None = None


class ConsentOut(msgspec.Struct, kw_only=True):
    """`text` is what was sent or read, word for word; `text_sha256` stays when it is erased.
    `verification_id`, `message_id` and `provider_message_id` prove it. `customer_id` is whom it was
    asked of: a duplicate, before it was merged."""

    id: UUID
    customer_id: UUID
    kind: Kind
    action: Action
    at: datetime
    method: How
    text: str | None
    text_version: str | None
    text_sha256: str | None
    language: str | None
    requested_at: datetime | None
    channel: str | None
    store: str | None
    seller: str | None
    author: str | None
    verification_id: UUID | None
    message_id: UUID | None
    provider_message_id: str | None


class ConsentPage(msgspec.Struct):
    items: list[ConsentOut]
    next_cursor: str | None


def consent_out(consent: Consent, text: str | None) -> ConsentOut:
    """A consent as it is shown."""
    sha = consent.text_sha256
    return ConsentOut(
        text=text,
        text_sha256=None if sha is None else sha.hex(),
        **{
            name: getattr(consent, name)
            for name in ConsentOut.__struct_fields__
            if name not in ("text", "text_sha256")
        },
    )
