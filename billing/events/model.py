"""An event as consumers see it."""

from __future__ import annotations

from datetime import datetime
from uuid import UUID, uuid5

import msgspec

from billing.events.schemas import DATA, Data


class Envelope(msgspec.Struct, frozen=True):
    """An event on the wire, as Standard Webhooks has it. `timestamp` is when it happened."""

    type: str
    timestamp: datetime
    data: msgspec.Raw


class Event(msgspec.Struct, frozen=True):
    """`xid` is the transaction that wrote it: events are told in the order of commits. `data` is
    JSON as its type of billing.events.schemas describes it."""

    id: UUID
    type: str
    at: datetime
    customer_id: UUID | None
    data: bytes
    xid: int

    def body(self) -> bytes:
        """The event as it is sent."""
        return msgspec.json.encode(Envelope(self.type, self.at, msgspec.Raw(self.data)))


def event_id(cause: UUID, kind: str) -> UUID:
    """The id of the one event of a type that `cause` (a transaction, a customer) can have. It
    stays the same however often the event is made or told."""
    return uuid5(cause, kind)


def customer_of(data: Data) -> UUID | None:
    """Whose event it is; None when it is the chain's."""
    found: UUID | None = getattr(data, "customer_id", None)
    return found


def matches(pattern: str, kind: str) -> bool:
    """Whether a type of event is meant by `*`, `points.*` or its own name."""
    if pattern.endswith("*"):
        return kind.startswith(pattern[:-1])
    return pattern == kind


PATTERNS = frozenset(("*", *DATA, *(f"{kind.partition('.')[0]}.*" for kind in DATA)))
"""All that a consumer may ask for."""
