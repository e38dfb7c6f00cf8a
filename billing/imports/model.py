"""A lot of an old system that is to be taken over."""

from __future__ import annotations

from datetime import datetime
from typing import Final
from uuid import UUID

import msgspec

from billing.common.errors import Conflict
from billing.common.money import format_amount
from billing.customers.schemas import CustomerRef
from ledger.flows import Bucket

MAX_REJECTS_SHOWN: Final = 100
MAX_REASONS: Final = 100
OTHERS: Final = "other reasons"


class Owner(msgspec.Struct, frozen=True):
    """Whose lot it is, by one name. `phone`, `name` … are also what a new customer is made of."""

    ref: CustomerRef | None
    external_id: tuple[str, str] | None = None
    name: str | None = None


class Lot(msgspec.Struct, frozen=True, kw_only=True):
    """A line as it is to be posted; times None: at once, never."""

    line: int
    source: str
    owner: Owner
    points: int
    bucket: Bucket
    occurred_at: datetime | None
    available_from: datetime | None
    expires_at: datetime | None


class Reject(msgspec.Struct, frozen=True):
    """A line that is not taken over, and why."""

    line: int
    reason: str


class Owned(msgspec.Struct, frozen=True):
    """A lot and its customer."""

    lot: Lot
    customer_id: UUID


class Totals(msgspec.Struct):
    """What a file holds: all lines, the points of all that could be read, and how they fared.

    `posted` were posted now, `already` before; `created` customers were registered. In a dry run
    lots are of so many `known` customers, and of `unknown` ones who would be registered.
    """

    rows: int = 0
    points: int = 0
    good: int = 0
    good_points: int = 0
    by_bucket: dict[str, int] = msgspec.field(default_factory=dict)
    rejected: int = 0
    reasons: dict[str, int] = msgspec.field(default_factory=dict)
    posted: int = 0
    posted_points: int = 0
    already: int = 0
    known: int = 0
    unknown: int = 0
    created: int = 0

    def take(self, lot: Lot) -> None:
        self.good += 1
        self.good_points += lot.points
        self.by_bucket[lot.bucket] = self.by_bucket.get(lot.bucket, 0) + lot.points

    def reject(self, reason: str, number: int = 1) -> None:
        self.rejected += number
        if reason not in self.reasons and len(self.reasons) >= MAX_REASONS:
            reason = OTHERS
        self.reasons[reason] = self.reasons.get(reason, 0) + number


class Control(msgspec.Struct, frozen=True):
    """What the old system says the file holds; None is not compared."""

    rows: int | None = None
    points: int | None = None

    def compare(self, totals: Totals) -> None:
        """Raise Conflict `control_totals` when the file holds something else."""
        faults = []
        if self.rows is not None and self.rows != totals.rows:
            faults.append(f"{self.rows} rows were announced, {totals.rows} are there")
        if self.points is not None and self.points != totals.points:
            faults.append(
                f"{format_amount(self.points)} points were announced, "
                f"{format_amount(totals.points)} are there"
            )
        if faults:
            raise Conflict("control_totals", f"{'; '.join(faults)}. Nothing was posted.")


def source_of(name: str, line: int, reference: str | None) -> str:
    """The natural key of a lot: the old system's own, or its line in the file of that name."""
    return f"import/r/{reference}" if reference else f"import/l/{name}/{line}"
