"""Subscriptions, deliveries, and what follows from an attempt. Pure."""

from __future__ import annotations

from collections.abc import Callable
from datetime import datetime, timedelta
from email.utils import parsedate_to_datetime
from typing import Final, Literal
from uuid import UUID

import msgspec

SubscriptionState = Literal["active", "paused", "disabled", "deleted"]
"""`active` is sent to; `paused` (by a person) keeps what comes for later; `disabled` (by us, see
`disabled_because`) keeps nothing new until a person makes it active again."""

DeliveryState = Literal["pending", "delivered", "dead"]
"""`dead`: the last attempt failed; it waits for a person to replay it."""

DELAYS: Final = tuple(
    timedelta(seconds=s) for s in (5, 300, 1800, 7200, 18_000, 36_000, 50_400, 72_000, 86_400)
)
"""How long after a failure the next attempt comes, as Standard Webhooks proposes."""
MAX_ATTEMPTS: Final = 1 + len(DELAYS)
JITTER: Final = 0.1
"""At most so much longer, that not all who failed together come back together."""
MAX_RETRY_AFTER: Final = timedelta(days=1)

IN_FLIGHT: Final = 16
"""Customers whose events are on their way to one subscriber at the same time."""
FAILURES_TO_PROBE: Final = 5
"""After so many failures in a row one attempt at a time is made, at growing distances: a
subscriber that is down must not use up the attempts of a million events."""
LONGEST_PROBE: Final = timedelta(minutes=5)

OVERLAP: Final = timedelta(hours=24)
"""How long a replaced secret signs beside the new one."""

HOUSE: Final = UUID(int=0)
"""In place of the customer, for events of nobody: they, too, keep their order."""

GONE: Final = 410
_COME_LATER: Final = (429, 503)


class Subscription(msgspec.Struct, frozen=True, kw_only=True):
    """A row of billing.webhook_subscriptions, without its secrets."""

    id: UUID
    url: str
    events: list[str]
    description: str
    state: SubscriptionState
    disabled_because: str | None
    failures: int
    failing_since: datetime | None
    not_before: datetime | None
    previous_until: datetime | None
    created_at: datetime
    updated_at: datetime


class Delivery(msgspec.Struct, frozen=True, kw_only=True):
    """An event on its way to a subscriber. `attempts` were made since it was written or
    replayed; `next_at` is when the next one is due, if it is this event's turn."""

    position: int
    id: UUID
    subscription_id: UUID
    event_id: UUID
    type: str
    customer_id: UUID | None
    state: DeliveryState
    attempts: int
    created_at: datetime
    finished_at: datetime | None


class Attempt(msgspec.Struct, frozen=True, kw_only=True):
    """One try: an HTTP status, or the class of the error that left none."""

    at: datetime
    duration_ms: int
    status: int | None
    error: str | None
    answer: str | None


class Reply(msgspec.Struct, frozen=True, kw_only=True):
    """What a subscriber said, or `error`, why nothing was heard. `answer` is the beginning."""

    status: int | None = None
    error: str | None = None
    retry_after: str | None = None
    answer: str | None = None
    duration_ms: int = 0

    @property
    def delivered(self) -> bool:
        return self.status is not None and 200 <= self.status < 300


class Verdict(msgspec.Struct, frozen=True):
    """What becomes of the delivery. `pause_until`: the subscriber wants none before that."""

    state: DeliveryState
    next_at: datetime
    pause_until: datetime | None = None


def judge(reply: Reply, made: int, now: datetime, luck: Callable[[], float]) -> Verdict:
    """After attempt number `made` (1, 2 …). `luck` gives numbers from 0 to 1."""
    if reply.delivered:
        return Verdict("delivered", now)
    pause = None
    if reply.status in _COME_LATER and reply.retry_after is not None:
        pause = _moment(reply.retry_after, now)
    if made >= MAX_ATTEMPTS and reply.status != GONE:
        return Verdict("dead", now, pause)
    delay = DELAYS[min(made, len(DELAYS)) - 1] * (1 + JITTER * luck())
    return Verdict("pending", max(now + delay, pause or now), pause)


def probing(failures: int, now: datetime) -> datetime | None:
    """When a subscriber that failed so often in a row is tried again."""
    if failures < FAILURES_TO_PROBE:
        return None
    return now + min(timedelta(seconds=2 ** min(failures - FAILURES_TO_PROBE, 20)), LONGEST_PROBE)


def _moment(retry_after: str, now: datetime) -> datetime | None:
    """Seconds or an HTTP date, within bounds; None for anything else."""
    text = retry_after.strip()
    if text.isascii() and text.isdigit():
        return now + min(timedelta(seconds=int(text[:9])), MAX_RETRY_AFTER)
    try:
        moment = parsedate_to_datetime(text)
    except ValueError:
        return None
    if moment.tzinfo is None:
        return None
    return min(max(moment, now), now + MAX_RETRY_AFTER)
