"""Audits and seals on the wire."""

from __future__ import annotations

from datetime import datetime
from uuid import UUID

import msgspec

from billing.audits.model import ChainSeen, ScopeName


class FindingOut(msgspec.Struct, forbid_unknown_fields=True):
    """`what` (transaction, balance, lot, block …), `which`, and what is the matter with it."""

    what: str
    customer_id: UUID | None
    which: str
    detail: str


class AuditOut(msgspec.Struct, forbid_unknown_fields=True, kw_only=True):
    """`findings` are wrong; `warnings` are late or wait for a person. The lists show the first
    ones, `finding_count` counts all."""

    id: UUID
    scope: ScopeName
    started_at: datetime
    finished_at: datetime
    clean: bool
    customers: int
    transactions: int
    postings: int
    blocks: int
    chains: dict[str, ChainSeen]
    finding_count: int
    findings: list[FindingOut]
    warnings: list[FindingOut]


class ChainOut(msgspec.Struct, forbid_unknown_fields=True):
    """A chain of seals: its last block (0: none yet) and that block's hash."""

    block: int
    hash: str


class CheckpointOut(msgspec.Struct, forbid_unknown_fields=True):
    """`document` is the signed text; `signature` and `public_key` are Ed25519, in hex."""

    id: int
    at: datetime
    document: str
    signature: str
    public_key: str


class SealsOut(msgspec.Struct, forbid_unknown_fields=True, kw_only=True):
    """`unsealed` transactions are in no block yet, counted up to 1,000; the oldest of them was
    recorded at `oldest_unsealed`."""

    chains: dict[str, ChainOut]
    unsealed: int
    oldest_unsealed: datetime | None
    checkpoint: CheckpointOut | None


class LedgerAuditOut(msgspec.Struct, forbid_unknown_fields=True, kw_only=True):
    """`last` is null before the first audit."""

    last: AuditOut | None
    seals: SealsOut
