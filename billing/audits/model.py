"""What an audit of the whole house saw."""

from __future__ import annotations

from datetime import datetime
from typing import Literal
from uuid import UUID

import msgspec

from ledger.findings import Finding

ScopeName = Literal["whole", "since_last", "customer"]
MAX_KEPT = 200
"""Findings kept with an audit; `findings` counts them all."""


class ChainSeen(msgspec.Struct, frozen=True):
    """The end of a chain as the audit saw it. `unsealed` rows were not in a block yet."""

    block: int
    hash: str
    commit: int
    key: str
    unsealed: int


class AuditReport(msgspec.Struct, frozen=True, kw_only=True):
    """`findings` are wrong and make it unclean; `warnings` only late or waiting for a person."""

    scope: ScopeName
    customer_id: UUID | None = None
    started_at: datetime
    finished_at: datetime
    clean: bool
    customers: int
    transactions: int
    postings: int
    blocks: int
    chains: dict[str, ChainSeen]
    findings: list[Finding]
    warnings: list[Finding]


class KeptAudit(msgspec.Struct, frozen=True, kw_only=True):
    """A row of billing.audits."""

    id: UUID
    scope: Literal["whole", "since_last"]
    started_at: datetime
    finished_at: datetime
    clean: bool
    findings: int
    report: AuditReport
