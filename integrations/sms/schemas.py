"""Providers of SMS on the wire."""

from __future__ import annotations

from datetime import datetime
from typing import Annotated, Any, Literal
from uuid import UUID

import msgspec

from billing.common.wire import PageQuery
from billing.customers.schemas import Phone
from billing.messages.model import AttemptOutcome
from billing.programs.words import Language
from integrations.sms.registry import KindName
from integrations.sms.store import State


class SmsProviderIn(msgspec.Struct, forbid_unknown_fields=True, kw_only=True):
    """A provider as it shall be. The lowest `priority` is asked first, others when it refuses or
    is away. `settings` and `secrets` are those of the `kind`, as docs/sms.md has them; `secrets`
    left out stay. A secret `env:BONUS_SMS_SECRET_…` is read from the environment."""

    kind: KindName
    state: State = "active"
    priority: Annotated[int, msgspec.Meta(ge=0, le=1000)] = 100
    rate_per_minute: Annotated[int, msgspec.Meta(ge=1, le=600_000)] = 600
    settings: dict[str, Any] = {}
    secrets: dict[str, Any] | None = None


class FailedAttempt(msgspec.Struct, kw_only=True):
    """An attempt that did not go well."""

    message_id: UUID
    at: datetime
    outcome: AttemptOutcome
    code: str | None
    detail: str | None


class SmsProviderOut(msgspec.Struct, kw_only=True):
    """`secrets` are the names of those that are set. `webhook_url` is to be given to the provider;
    whoever knows it may claim to be it. Until `not_before` it is not asked."""

    code: str
    kind: KindName
    state: State
    priority: int
    rate_per_minute: int
    settings: dict[str, Any]
    secrets: list[str]
    webhook_url: str
    failures: int
    not_before: datetime | None
    last_error: str | None
    last_error_at: datetime | None
    created_at: datetime
    updated_at: datetime


class SmsProviderDetail(SmsProviderOut, kw_only=True):
    """With the newest attempts that did not go well, newest first."""

    errors: list[FailedAttempt]


class SmsProviderList(msgspec.Struct):
    items: list[SmsProviderOut]
    next_cursor: str | None = None


class SmsTestIn(msgspec.Struct, forbid_unknown_fields=True, kw_only=True):
    """`text` is sent as it is."""

    __test__ = False

    phone: Phone
    text: Annotated[str, msgspec.Meta(min_length=1, max_length=160)] = "Test"
    language: Language = "en"


class SmsTestOut(msgspec.Struct):
    """The message; read it at /v1/messages/{id} to see what became of it."""

    __test__ = False

    message_id: UUID


class SmsBalanceOut(msgspec.Struct):
    """What is left at the provider, in its own currency."""

    amount: str
    currency: str | None


WebhookState = Literal["pending", "done", "dead"]


class SmsWebhooksQuery(PageQuery, forbid_unknown_fields=True, kw_only=True):
    """`state=dead`: those that could not be worked on."""

    state: WebhookState | None = None


class SmsWebhookOut(msgspec.Struct, kw_only=True):
    """A webhook that came; its content is not shown. `result` says what came of it."""

    id: UUID
    provider: str
    signed: bool
    state: WebhookState
    attempts: int
    received_at: datetime
    finished_at: datetime | None
    result: str | None


class SmsWebhookPage(msgspec.Struct):
    items: list[SmsWebhookOut]
    next_cursor: str | None
