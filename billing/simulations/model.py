"""What a simulation adds up. All points in 1/100.

Of each receipt there are four sums: what the simulated program would have given and did give,
and what all programs together would have given and did give.
"""

from __future__ import annotations

from collections.abc import Iterable
from datetime import datetime
from typing import Final
from uuid import UUID

import msgspec

from billing.programs.explain import Reason
from billing.programs.words import Language

SIMULATION: Final = "simulation"
"""The kind of job."""


class Parameters(
    msgspec.Struct, frozen=True, kw_only=True, rename={"since": "from", "until": "to"}
):
    """Which version, over what: receipts that happened from `since` to before `until`."""

    program: str
    version: int
    since: datetime
    until: datetime
    channel: str | None = None
    store: str | None = None
    language: Language = "en"
    """Of the explanations."""


class Points(msgspec.Struct):
    """What is (`actual`) beside what would have been (`draft`)."""

    draft: int = 0
    actual: int = 0

    @property
    def difference(self) -> int:
        return self.draft - self.actual


class Cost(msgspec.Struct):
    """Points of the simulated program, and of all programs together."""

    receipts: int = 0
    program: Points = msgspec.field(default_factory=Points)
    all_programs: Points = msgspec.field(default_factory=Points)

    def add(self, program: Points, all_programs: Points) -> None:
        self.receipts += 1
        for mine, more in ((self.program, program), (self.all_programs, all_programs)):
            mine.draft += more.draft
            mine.actual += more.actual


class Side(msgspec.Struct):
    """Customers who would have got more (or less), and how much in all."""

    customers: int = 0
    points: int = 0

    def add(self, difference: int) -> None:
        self.customers += 1
        self.points += difference


class Sides(msgspec.Struct):
    winners: Side = msgspec.field(default_factory=Side)
    losers: Side = msgspec.field(default_factory=Side)

    @classmethod
    def of(cls, differences: Iterable[int]) -> Sides:
        """From the difference of each customer over the whole period."""
        self = cls()
        for difference in differences:
            self.add(difference)
        return self

    def add(self, difference: int) -> None:
        if difference > 0:
            self.winners.add(difference)
        elif difference < 0:
            self.losers.add(difference)


class Example(msgspec.Struct, frozen=True, kw_only=True):
    """One receipt, and what each program would have given (`draft`) and gave (`actual`)."""

    receipt_id: UUID
    customer_id: UUID
    channel: str
    store: str | None
    number: str
    occurred_at: datetime
    total: int
    all_programs: Points
    by_program: dict[str | None, Points]
    reasons: tuple[Reason, ...]
    """Of the draft's calculation: all of the simulated program, of others the outcome alone."""
