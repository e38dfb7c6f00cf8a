"""Merges: who may be merged into whom."""

from __future__ import annotations

from datetime import datetime
from uuid import UUID

import msgspec

from billing.common.errors import Conflict, ValidationFailed
from billing.customers.model import Profile
from billing.customers.records import must_be_changeable
from ledger.state import CustomerState


class Merge(msgspec.Struct, kw_only=True):
    """A merge as stored; its fields are the columns."""

    id: UUID
    customer_id: UUID
    into_id: UUID
    reason: str
    author: str
    merged_at: datetime
    undone_at: datetime | None = None
    undone_by: str | None = None

    @property
    def mark(self) -> str:
        """The reason of its transfers in the ledger, by which they are found again."""
        return f"merge {self.id}"


class MergeAsked(msgspec.Struct, frozen=True):
    """What a second person is asked about."""

    customer_id: UUID
    into: UUID
    reason: str


def check_pair(duplicate: Profile, survivor: Profile) -> None:
    """Raise ValidationFailed, Conflict unless `duplicate` may be merged into `survivor`."""
    if duplicate.id == survivor.id:
        raise ValidationFailed.at("/into", "must be another customer")
    must_be_changeable(duplicate)
    must_be_changeable(survivor)
    for one in (duplicate, survivor):
        if one.status == "blocked":
            raise Conflict("customer_blocked", f"{one.id} is blocked; unblock first.")
    if duplicate.status == "verified" and survivor.status != "verified":
        raise Conflict(
            "merge_not_possible",
            "A verified customer is not merged into one who is not: merge the other way round.",
        )


def check_points(state: CustomerState) -> None:
    """Raise Conflict while points of the duplicate are reserved: the till that holds them knows
    the customer by the old id."""
    if state.held:
        raise Conflict(
            "merge_not_possible",
            "Points of the duplicate are reserved; capture or release them first.",
        )
