"""Writing events in the transaction that causes them."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime
from typing import Any, Final
from uuid import UUID

import msgspec
from sqlalchemy import text
from sqlalchemy.ext.asyncio import AsyncConnection

from billing.common.wire import encode
from billing.events.model import customer_of
from billing.events.schemas import Data
from ledger.commands import Row, Statement
from ledger.ids import uuid7

_INSERT = """
INSERT INTO billing.events (id, type, customer_id, occurred_at, data)
SELECT * FROM unnest({}) ON CONFLICT (id) DO NOTHING
"""
_KINDS = ("uuid[]", "text[]", "uuid[]", "timestamptz[]", "jsonb[]")

_RECORD = text(_INSERT.format(", ".join(f"CAST(:p{i} AS {kind})" for i, kind in enumerate(_KINDS))))

_RIDER: Final = Statement(
    "billing.events",
    _INSERT.format(", ".join(f"${i}::{kind}" for i, kind in enumerate(_KINDS, 1))),
    len(_KINDS),
)


class New(msgspec.Struct, frozen=True):
    """An event to be. With an `id` (`model.event_id`) it is written once, however often asked."""

    data: Data
    at: datetime
    id: UUID | None = None


async def record(tx: AsyncConnection, data: Data, at: datetime, *, id: UUID | None = None) -> None:
    """Write an event beside what causes it. `at` is when it happened."""
    await record_many(tx, [New(data, at, id)])


async def record_many(tx: AsyncConnection, events: Sequence[New]) -> int:
    """Write events, told in this order; how many were new."""
    if not events:
        return 0
    columns = zip(*map(_values, events), strict=True)
    found = await tx.execute(_RECORD, {f"p{i}": list(column) for i, column in enumerate(columns)})
    return found.rowcount


def event_row(event: New) -> Row:
    """The event as a rider: written in the ledger's own transaction."""
    return (_RIDER, _values(event))


def _values(event: New) -> tuple[Any, ...]:
    data = event.data
    return (
        event.id or uuid7(),
        data.TYPE,
        customer_of(data),
        event.at,
        encode(data).decode(),
    )
