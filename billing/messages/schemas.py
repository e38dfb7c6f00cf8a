"""Messages, templates and their settings on the wire."""

from __future__ import annotations

from datetime import datetime
from typing import Annotated, Literal
from uuid import UUID

import msgspec

from billing.common.wire import PageQuery
from billing.messages.model import Attempt, AttemptOutcome, Channel, Message, Purpose, Status
from billing.messages.segments import Encoding, measure
from billing.messages.settings import MessageSettings
from billing.messages.templates import Template
from billing.messages.wording import MAX_TEXT, SHAPES, VARIABLES, Kind, sample
from billing.programs.words import Language

Filter = Literal["queued", "unknown", "accepted", "sent", "expired", "failed", "delivered", "dead"]
Text = Annotated[str, msgspec.Meta(min_length=1, max_length=MAX_TEXT)]


class MessagesQuery(PageQuery, forbid_unknown_fields=True, kw_only=True):
    """`status=dead`: those that wait for somebody to replay them."""

    customer_id: UUID | None = None
    status: Filter | None = None


class MessageOut(msgspec.Struct, kw_only=True):
    """A message, without its text. `price` is what the provider took for it, all `segments`
    together."""

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
    price: str | None
    currency: str | None
    error: str | None
    attempts: int
    dead: bool
    created_at: datetime
    not_before: datetime
    expires_at: datetime


class MessageAttemptOut(msgspec.Struct, kw_only=True):
    """One try at a provider; `outcome` is null while it goes on."""

    provider: str
    at: datetime
    finished_at: datetime | None
    outcome: AttemptOutcome | None
    code: str | None
    detail: str | None
    provider_message_id: str | None


class MessageDetail(MessageOut, kw_only=True):
    """With the newest attempts, newest first."""

    history: list[MessageAttemptOut]


class MessagePage(msgspec.Struct):
    items: list[MessageOut]
    next_cursor: str | None


class VariableOut(msgspec.Struct):
    """`required` ones must be in the text, outside of square brackets."""

    name: str
    meaning: str
    required: bool


class TemplateOut(msgspec.Struct, kw_only=True):
    """A text and what it comes to: `example` has sample values, and takes `segments` SMS of the
    `encoding`. Version 0 is the built-in one."""

    kind: Kind
    language: Language
    version: int
    text: str
    example: str
    encoding: Encoding
    units: int
    segments: int
    variables: list[VariableOut]
    created_by: str | None
    created_at: datetime | None


class TemplateList(msgspec.Struct):
    items: list[TemplateOut]
    next_cursor: str | None = None


class TemplateIn(msgspec.Struct, forbid_unknown_fields=True, kw_only=True):
    """Text with `{variables}` and `[parts that are left out when a variable in them is empty]`."""

    text: Text


class PreviewIn(msgspec.Struct, forbid_unknown_fields=True, kw_only=True):
    kind: Kind
    language: Language
    text: Text


class SettingsOut(msgspec.Struct, kw_only=True):
    """Version 0: nobody changed anything yet."""

    version: int
    settings: MessageSettings


def message_out(one: Message) -> MessageOut:
    shown = msgspec.structs.asdict(one)
    price = None if one.price is None else f"{one.price.normalize():f}"
    return MessageOut(**shown | {"price": price})


def message_detail(one: Message, history: list[Attempt]) -> MessageDetail:
    return MessageDetail(
        **msgspec.structs.asdict(message_out(one)),
        history=[MessageAttemptOut(**msgspec.structs.asdict(attempt)) for attempt in history],
    )


def template_out(one: Template) -> TemplateOut:
    example = sample(one.kind, one.text, one.language)
    length, shape = measure(example), SHAPES[one.kind]
    return TemplateOut(
        **msgspec.structs.asdict(one),
        example=example,
        encoding=length.encoding,
        units=length.units,
        segments=length.segments,
        variables=[
            VariableOut(name, VARIABLES[name].meaning, name in shape.needs) for name in shape.known
        ],
    )
