"""The approvals' queries. A decision moves a row that is locked."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import datetime
from typing import Any
from uuid import UUID

import msgspec
from sqlalchemy import text
from sqlalchemy.ext.asyncio import AsyncConnection

from billing.approvals.model import Approval, State
from billing.common.auth import Principal
from billing.common.db import Database
from billing.common.errors import Conflict
from billing.common.wire import encode

_FIELDS = (
    "id, kind, subject, summary, content::text AS content, state, asked_by, asked_key, asked_at,"
    " decided_by, decided_key, decided_at, reason, result::text AS result, error"
)
_ASK = text("""
INSERT INTO billing.approvals
    (id, kind, subject, summary, content, asked_by, asked_key, asked_at)
VALUES (:id, :kind, :subject, :summary, CAST(:content AS jsonb), :asked_by, :asked_key, :asked_at)
ON CONFLICT DO NOTHING
""")
_READ = f"SELECT {_FIELDS} FROM billing.approvals WHERE id = $1"
_LOCK = text(f"SELECT {_FIELDS} FROM billing.approvals WHERE id = :id FOR UPDATE")
_PENDING = text(f"""
SELECT {_FIELDS} FROM billing.approvals
WHERE kind = :kind AND subject = :subject AND state = 'pending'
""")
_DECIDE = text("""
UPDATE billing.approvals
SET state = :state, decided_by = :decided_by, decided_key = :decided_key,
    decided_at = :decided_at, reason = :reason
WHERE id = :id
""")
_DECIDE_OF = text("""
UPDATE billing.approvals
SET state = :state, decided_by = :decided_by, decided_key = :decided_key,
    decided_at = :decided_at, reason = :reason
WHERE kind = :kind AND subject = :subject AND state = 'pending'
  AND (CAST(:only AS uuid) IS NULL OR id = :only)
""")
_CLOSE = text("""
UPDATE billing.approvals SET state = :state, result = CAST(:result AS jsonb), error = :error
WHERE id = :id AND state = 'approved'
""")
_PAGE = f"""
SELECT {_FIELDS} FROM billing.approvals
WHERE ($1::text IS NULL OR state = $1) AND ($2::text IS NULL OR kind = $2)
  AND ($3::timestamptz IS NULL OR (asked_at, id) < ($3, $4))
ORDER BY asked_at DESC, id DESC LIMIT $5
"""


class Asked(msgspec.Struct, frozen=True, kw_only=True):
    """What somebody asks to be approved."""

    id: UUID
    kind: str
    subject: str
    summary: str
    content: Any


async def ask(tx: AsyncConnection, asked: Asked, principal: Principal, now: datetime) -> bool:
    """Write it down; False when it, or another for the same subject, waits already."""
    found = await tx.execute(
        _ASK,
        {
            "id": asked.id,
            "kind": asked.kind,
            "subject": asked.subject,
            "summary": asked.summary,
            "content": encode(asked.content).decode(),
            "asked_by": principal.name,
            "asked_key": principal.key_id,
            "asked_at": now,
        },
    )
    return found.rowcount == 1


async def read(database: Database, approval_id: UUID) -> Approval | None:
    rows = await database.fetch(_READ, approval_id)
    return _approval(dict(rows[0])) if rows else None


async def lock(tx: AsyncConnection, approval_id: UUID) -> Approval | None:
    row = (await tx.execute(_LOCK, {"id": approval_id})).mappings().one_or_none()
    return None if row is None else _approval(dict(row))


async def pending(tx: AsyncConnection, kind: str, subject: str) -> Approval | None:
    """What waits for a subject."""
    rows = await tx.execute(_PENDING, {"kind": kind, "subject": subject})
    row = rows.mappings().one_or_none()
    return None if row is None else _approval(dict(row))


async def decide(
    tx: AsyncConnection,
    approval_id: UUID,
    state: State,
    principal: Principal,
    now: datetime,
    reason: str | None = None,
) -> None:
    values = {"id": approval_id, "state": state, "reason": reason}
    await tx.execute(_DECIDE, values | _decider(principal, now))


async def decide_of(
    tx: AsyncConnection,
    kind: str,
    subject: str,
    state: State,
    principal: Principal,
    now: datetime,
    *,
    only: UUID | None = None,
    reason: str | None = None,
) -> None:
    """Decide what waits for a subject, if anything does: for a feature that knows by itself.

    With `only`, that approval and no later one: raises Conflict when it waits no more.
    """
    values = {"kind": kind, "subject": subject, "state": state, "only": only, "reason": reason}
    found = await tx.execute(_DECIDE_OF, values | _decider(principal, now))
    if only is not None and found.rowcount == 0:
        raise Conflict("approval_state", f"Approval {only} was decided meanwhile; read it again.")


async def close(
    tx: AsyncConnection, approval_id: UUID, state: State, result: Any, error: str | None
) -> None:
    """How it ended: of two that carried it out, the first is kept."""
    told = None if result is None else encode(result).decode()
    await tx.execute(_CLOSE, {"id": approval_id, "state": state, "result": told, "error": error})


async def read_page(
    database: Database,
    state: str | None,
    kind: str | None,
    after: tuple[datetime, UUID] | None,
    limit: int,
) -> list[Approval]:
    """The newest first."""
    place = after if after is not None else (None, None)
    rows = await database.fetch(_PAGE, state, kind, *place, limit)
    return [_approval(dict(row)) for row in rows]


def _decider(principal: Principal, now: datetime) -> dict[str, Any]:
    return {
        "decided_by": principal.name,
        "decided_key": principal.key_id,
        "decided_at": now,
    }


def _approval(values: Mapping[str, Any]) -> Approval:
    read = dict(values)
    for name in ("content", "result"):
        read[name] = None if read[name] is None else msgspec.json.decode(read[name])
    return Approval(**read)
