"""The operators' log on the wire."""

from __future__ import annotations

from datetime import datetime
from typing import Annotated, Any
from uuid import UUID

import msgspec

from billing.balances.schemas import QueryInstant
from billing.common.auth import Role
from billing.common.wire import MAX_PAGE

_Text = Annotated[str, msgspec.Meta(min_length=1, max_length=300, pattern=r"^[^\x00]*$")]


class OperatorLogQuery(
    msgspec.Struct, forbid_unknown_fields=True, kw_only=True, rename={"from_": "from"}
):
    """What is left out does not restrict. `operation` as in an entry: `PATCH /v1/stores/{code}`;
    `subject`: what it was about, the parameters of its path with slashes between."""

    from_: QueryInstant | None = None
    to: QueryInstant | None = None
    key_id: UUID | None = None
    key_name: _Text | None = None
    role: Role | None = None
    operation: _Text | None = None
    subject: _Text | None = None
    request_id: _Text | None = None
    limit: Annotated[int, msgspec.Meta(ge=1, le=MAX_PAGE)] = 100
    cursor: str | None = None


class OperatorEntryOut(msgspec.Struct, forbid_unknown_fields=True, kw_only=True):
    """Who asked for what and when; `before`, the state of what it was about; `status` and `after`,
    what was answered, null when the process died meanwhile. Personal data is shown as `***`."""

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
    finished_at: datetime | None
    status: int | None
    after: Any


class OperatorLogPage(msgspec.Struct, forbid_unknown_fields=True):
    items: list[OperatorEntryOut]
    next_cursor: str | None
