"""Webhook subscriptions and deliveries on the wire."""

from __future__ import annotations

from datetime import datetime
from typing import Annotated, Any, Literal
from uuid import UUID

import msgspec
from msgspec import UNSET, UnsetType

from billing.common.errors import ValidationFailed
from billing.common.wire import PageQuery
from integrations.webhooks.guard import MAX_URL
from integrations.webhooks.model import (
    HOUSE,
    Attempt,
    Delivery,
    DeliveryState,
    Subscription,
    SubscriptionState,
)

Url = Annotated[
    str, msgspec.Meta(max_length=MAX_URL, examples=["https://crm.example.org/hooks/bonus"])
]
Patterns = Annotated[
    list[str],
    msgspec.Meta(min_length=1, max_length=50, examples=[["points.*", "receipt.returned"]]),
]
Words = Annotated[str, msgspec.Meta(max_length=200)]


class SubscriptionIn(msgspec.Struct, forbid_unknown_fields=True, kw_only=True):
    """`events` are types such as `points.accrued`, families such as `points.*`, or `*`."""

    url: Url
    events: Patterns
    description: Words = ""


class SubscriptionPatch(msgspec.Struct, forbid_unknown_fields=True, kw_only=True):
    """What is named is changed. `paused` keeps events for later; `active` resumes, also what was
    disabled."""

    url: Url | UnsetType = UNSET
    events: Patterns | UnsetType = UNSET
    description: Words | UnsetType = UNSET
    state: Literal["active", "paused"] | UnsetType = UNSET


class SubscriptionOut(msgspec.Struct, kw_only=True):
    """`disabled` subscriptions are sent nothing and miss what happens; `disabled_because` says why.
    `failures` are attempts in a row, the first of them at `failing_since`. Until
    `previous_secret_until` messages are signed with the replaced secret, too."""

    id: UUID
    url: str
    events: list[str]
    description: str
    state: SubscriptionState
    disabled_because: str | None
    failures: int
    failing_since: datetime | None
    previous_secret_until: datetime | None
    created_at: datetime
    updated_at: datetime


class SubscriptionMade(SubscriptionOut, kw_only=True):
    """`secret` is shown this once; it cannot be read again, only rotated."""

    secret: str


class SubscriptionPage(msgspec.Struct):
    items: list[SubscriptionOut]
    next_cursor: str | None


class TestOut(msgspec.Struct):
    """The delivery of the test; read it to see what became of it."""

    __test__ = False

    delivery_id: UUID


class DeliveriesQuery(PageQuery, forbid_unknown_fields=True, kw_only=True):
    """`state=dead`: those that wait for somebody to replay them."""

    state: DeliveryState | None = None
    subscription_id: UUID | None = None


class DeliveryOut(msgspec.Struct, kw_only=True):
    """`event_id` is the message's webhook-id. `attempts` were made since it was last replayed."""

    id: UUID
    subscription_id: UUID
    event_id: UUID
    type: str
    customer_id: UUID | None
    state: DeliveryState
    attempts: int
    created_at: datetime
    finished_at: datetime | None


class DeliveryPage(msgspec.Struct):
    items: list[DeliveryOut]
    next_cursor: str | None


class AttemptOut(msgspec.Struct):
    """An HTTP `status`, or the class of the `error` that left none; `answer` is how the
    subscriber's answer begins, or what the error says."""

    at: datetime
    duration_ms: int
    status: int | None
    error: str | None
    answer: str | None


class DeliveryDetail(DeliveryOut, kw_only=True):
    """With what was sent, and the newest attempts, newest first."""

    body: dict[str, Any]
    history: list[AttemptOut]


def subscription_out(one: Subscription) -> dict[str, Any]:
    shown = {name: getattr(one, name, None) for name in SubscriptionOut.__struct_fields__}
    return shown | {"previous_secret_until": one.previous_until}


def delivery_out(one: Delivery) -> DeliveryOut:
    shown = {name: getattr(one, name) for name in DeliveryOut.__struct_fields__}
    return DeliveryOut(**shown | {"customer_id": customer_of(one)})


def delivery_detail(one: Delivery, body: str, history: list[Attempt]) -> DeliveryDetail:
    return DeliveryDetail(
        **msgspec.structs.asdict(delivery_out(one)),
        body=msgspec.json.decode(body),
        history=[AttemptOut(**msgspec.structs.asdict(attempt)) for attempt in history],
    )


def customer_of(one: Delivery) -> UUID | None:
    """None for events of nobody, and for tests, whose queues are their own."""
    return None if one.customer_id in (HOUSE, one.event_id) else one.customer_id


def id_of(path: dict[str, str] | Any) -> UUID:
    """The id in the path. Raises ValidationFailed."""
    try:
        return UUID(path["id"])
    except ValueError:
        raise ValidationFailed.at("/path/id", "must be a UUID") from None
