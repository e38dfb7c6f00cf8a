"""Approvals on the wire."""

from __future__ import annotations

from datetime import datetime
from typing import Annotated, Any
from uuid import UUID

import msgspec

from billing.adjustments.schemas import Reason
from billing.approvals.model import Approval, State
from billing.common.wire import PageQuery


class ApprovalOut(msgspec.Struct, forbid_unknown_fields=True, kw_only=True):
    """`content` is what was asked for, `result` what came of it once it was approved."""

    id: UUID
    kind: str
    subject: str
    summary: str
    content: Any
    state: State
    asked_by: str
    asked_key: UUID | None
    asked_at: datetime
    decided_by: str | None
    decided_key: UUID | None
    decided_at: datetime | None
    reason: str | None
    result: Any
    error: str | None


class ApprovalsQuery(PageQuery, forbid_unknown_fields=True, kw_only=True):
    state: State | None = None
    kind: Annotated[str, msgspec.Meta(max_length=64, pattern=r"^[a-z_]+$")] | None = None


class ApprovalPage(msgspec.Struct, forbid_unknown_fields=True):
    items: list[ApprovalOut]
    next_cursor: str | None


class RejectIn(msgspec.Struct, forbid_unknown_fields=True, kw_only=True):
    reason: Reason


class WaitingOut(msgspec.Struct, forbid_unknown_fields=True, kw_only=True):
    """Not done yet: a second person has to approve it, at `POST /v1/approvals/{id}/approve`."""

    approval_id: UUID
    state: State
    summary: str


def approval_out(approval: Approval) -> ApprovalOut:
    return ApprovalOut(**{name: getattr(approval, name) for name in ApprovalOut.__struct_fields__})
