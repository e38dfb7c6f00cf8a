"""Queries of the operators' log: rows are only ever added."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime
from typing import Any
from uuid import UUID

import asyncpg
import msgspec

from billing.common.db import Database

_ADD_ACTION = """
INSERT INTO billing.operator_actions
    (id, at, key_id, key_name, role, operation, subject, request_id, idempotency_key, body, before)
VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10::jsonb, $11::jsonb)
"""
_ADD_OUTCOME = """
INSERT INTO billing.operator_outcomes (action_id, at, status, after)
VALUES ($1, $2, $3, $4::jsonb)
"""
_READ = """
SELECT a.id, a.at, a.key_id, a.key_name, a.role, a.operation, a.subject, a.request_id,
       a.idempotency_key, a.body::text, a.before::text, o.at AS finished_at, o.status,
       o.after::text
FROM billing.operator_actions a
LEFT JOIN billing.operator_outcomes o ON o.action_id = a.id
"""
_TERMS = (
    ("since", "a.at >= {}"),
    ("until", "a.at < {}"),
    ("key_id", "a.key_id = {}"),
    ("key_name", "a.key_name = {}"),
    ("role", "a.role = {}"),
    ("operation", "a.operation = {}"),
    ("subject", "a.subject = {}"),
    ("request_id", "a.request_id = {}"),
    ("before_id", "a.id < {}"),
)


class Filters(msgspec.Struct, frozen=True, kw_only=True):
    """Which entries; None does not restrict. `before_id`: those before that one."""

    since: datetime | None = None
    until: datetime | None = None
    key_id: UUID | None = None
    key_name: str | None = None
    role: str | None = None
    operation: str | None = None
    subject: str | None = None
    request_id: str | None = None
    before_id: UUID | None = None


class Action(msgspec.Struct, frozen=True, kw_only=True):
    """A row of billing.operator_actions."""

    id: UUID
    at: datetime
    key_id: UUID
    key_name: str
    role: str
    operation: str
    subject: str
    request_id: str
    idempotency_key: str | None
    body: Any
    before: Any


async def add_action(database: Database, action: Action) -> None:
    *values, body, before = msgspec.structs.astuple(action)
    await database.fetch(_ADD_ACTION, *values, _json(body), _json(before))


async def add_outcome(
    database: Database, action_id: UUID, at: datetime, status: int, after: Any
) -> None:
    await database.fetch(_ADD_OUTCOME, action_id, at, status, _json(after))


async def read(database: Database, filters: Filters, limit: int) -> Sequence[asyncpg.Record]:
    """The newest first."""
    terms: list[str] = []
    values: list[Any] = []
    for name, term in _TERMS:
        value = getattr(filters, name)
        if value is not None:
            values.append(value)
            terms.append(term.format(f"${len(values)}"))
    where = f"WHERE {' AND '.join(terms)}" if terms else ""
    return await database.fetch(f"{_READ} {where} ORDER BY a.id DESC LIMIT {limit:d}", *values)


def _json(value: Any) -> str | None:
    return None if value is None else msgspec.json.encode(value).decode()
