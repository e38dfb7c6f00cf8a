"""An approval, and what may be approved.

pending ──approve──> approved ──(carried out)──> done
   │                     └──(the state refuses)──> failed
   ├──reject──> rejected
   └──withdraw──> withdrawn
"""

from __future__ import annotations

from datetime import datetime
from typing import Any, Final, Literal, Protocol
from uuid import UUID, uuid5

import msgspec

from billing.common.auth import Principal, Role
from billing.common.errors import Conflict

State = Literal["pending", "approved", "done", "failed", "rejected", "withdrawn"]
TurnedDown = Literal["rejected", "withdrawn"]

_SPACE: Final = UUID("6f7a2f5e-9a0e-4e57-8e55-3f1d3a2c9b11")


class Approval(msgspec.Struct, frozen=True, kw_only=True):
    """A row of billing.approvals. `subject` names the thing within its kind; `content` is what
    was asked for; `asked_key` None: by a process, not by a key."""

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


class Approvable(Protocol):
    """What a feature registers for one kind of approval. Whoever asked is kept from deciding
    before it is called."""

    kind: str
    approvers: tuple[Role, ...]
    records_itself: bool
    """Whether it also writes decisions down, in its own transaction: `store.decide_of`."""

    async def approve(self, approval: Approval, principal: Principal) -> Any:
        """Carry out what was asked for; what it returns is kept as the result. It may run again
        after a crash and must then do nothing more. Raises Problem when the state refuses."""

    async def turned_down(
        self, approval: Approval, state: TurnedDown, principal: Principal, reason: str | None
    ) -> None:
        """Told after it was rejected or withdrawn; or to do so, when it records itself."""


def own_approval() -> Conflict:
    return Conflict(
        "own_approval",
        "Whoever asks for something does not approve it, with no key of theirs; ask somebody else.",
    )


def must_be(approval: Approval, *states: State) -> None:
    if approval.state not in states:
        raise Conflict(
            "approval_state",
            f"Approval {approval.id} is {approval.state}, not {' or '.join(states)}.",
            state=approval.state,
        )


def key_of(approval: Approval) -> str:
    """The idempotency key, and the ledger's natural key, of what an approval carries out."""
    return key_of_id(approval.id)


def key_of_id(approval_id: UUID) -> str:
    return f"approval/{approval_id}"


def id_of(key: str, fingerprint: bytes) -> UUID:
    """The approval of a request that moves points: one, however often it is sent."""
    return uuid5(_SPACE, f"{key}\n{fingerprint.hex()}")
