"""A campaign and its runs, and what may become of them.

    draft ──submit──> scheduled ──> running ──> finished
      │  ^               │  ^  │      │  (a recurring one: scheduled again)
      │  │withdraw       │  │  └─────>├──pause──> paused ──resume──> scheduled or running
      └> waiting_approval┘  │         └──> failed ──resume──> running
            approve         └── withdraw, before its first run: draft

Every state that is not an end may be cancelled.
"""

from __future__ import annotations

from datetime import datetime
from typing import Any, Literal
from uuid import UUID

import msgspec

from billing.common.errors import Conflict

State = Literal[
    "draft",
    "waiting_approval",
    "scheduled",
    "running",
    "paused",
    "finished",
    "cancelled",
    "failed",
]
RunState = Literal["running", "finished", "cancelled", "failed", "skipped"]
Action = Literal["change", "preview", "submit", "approve", "withdraw", "pause", "resume", "cancel"]

ALLOWED: dict[Action, tuple[State, ...]] = {
    "change": ("draft",),
    "preview": ("draft",),
    "submit": ("draft",),
    "approve": ("waiting_approval",),
    "withdraw": ("waiting_approval", "scheduled"),
    "pause": ("scheduled", "running"),
    "resume": ("paused", "failed"),
    "cancel": ("draft", "waiting_approval", "scheduled", "running", "paused", "failed"),
}
"""From which states each action leads away."""


class Campaign(msgspec.Struct, kw_only=True):
    """A row of billing.campaigns. `hands` are the keys that made it what it is. `allowance` is what
    it may give in all its runs, in 1/100, when nobody approved it and it has no budget."""

    code: str
    definition: dict[str, Any]
    revision: int
    state: State
    author: str
    hands: list[UUID]
    audience_size: int
    preview_job: UUID | None
    created_at: datetime
    updated_at: datetime
    submitted_by: str | None
    submitted_at: datetime | None
    approved_by: str | None
    approved_at: datetime | None
    allowance: int | None
    next_run_at: datetime | None
    failure: str | None

    def must_allow(self, action: Action) -> None:
        """Raise Conflict `campaign_state` unless `action` is for a campaign in this state."""
        if self.state not in ALLOWED[action]:
            states = " or ".join(ALLOWED[action])
            raise Conflict(
                "campaign_state",
                f"Campaign {self.code!r} is {self.state}; {action} is for one that is {states}.",
                state=self.state,
            )

    @property
    def responsible(self) -> str:
        """Who let it run, for the ledger."""
        return self.approved_by or self.submitted_by or self.author


class Run(msgspec.Struct, kw_only=True):
    """A row of billing.campaign_runs.

    Who is in the audience goes by `scheduled_at`, the lives of points by `started_at`: a late
    birthday run is still for those whose birthday it was, and nobody's points live shorter.
    """

    id: UUID
    code: str
    scheduled_at: datetime
    state: RunState
    started_at: datetime | None
    moved_at: datetime | None
    finished_at: datetime | None
    total: int | None
    cursor: UUID | None
    seen: int
    customers: int
    given: int
    points: int
    failed: int
    skipped: dict[str, int]
    attempts: int
    error: str | None


def source_of(code: str, run_id: UUID, customer_id: UUID) -> str:
    """The natural key of what a run gives to a customer: the ledger takes it once."""
    return f"campaign/{code}/{run_id}/{customer_id}"


def counter_of(code: str) -> str:
    """The house's counter of a campaign's budget."""
    return f"campaign/{code}"


def program_of(code: str) -> str:
    """What the points of a campaign carry where others carry a program's code."""
    return f"campaign:{code}"
