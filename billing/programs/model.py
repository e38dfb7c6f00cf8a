"""A bonus program as data, compiled once for fast calculation.

A program is versioned; a published version never changes, and receipts remember which one gave
their points. What is not settled by its data is settled by nobody.
"""

from __future__ import annotations

from datetime import datetime
from fractions import Fraction
from typing import Literal

import msgspec

RoundingMode = Literal["down", "up", "half_up", "half_even"]
RoundingPer = Literal["receipt", "line"]
Bucket = Literal["base", "promo"]
Base = Literal["net_of_points", "gross"]
OnReturn = Literal["debt", "floor", "refuse"]
RoundUpTo = Literal["month", "quarter", "half_year", "year"]


class Scope(msgspec.Struct, frozen=True):
    """Where a program works. An empty set does not restrict."""

    channels: frozenset[str] = frozenset()
    stores: frozenset[str] = frozenset()
    store_groups: frozenset[str] = frozenset()
    exclude_stores: frozenset[str] = frozenset()

    def covers(self, channel: str, store: str | None, store_group: str | None) -> bool:
        """Whether a receipt of that place is inside. Stores and store groups are alternatives."""
        if self.channels and channel not in self.channels:
            return False
        if store is not None and store in self.exclude_stores:
            return False
        if not self.stores and not self.store_groups:
            return True
        return store in self.stores or store_group in self.store_groups


class LineFilter(msgspec.Struct, frozen=True):
    """Which lines earn. Exclusions win; an empty inclusion means every line."""

    groups: frozenset[str] = frozenset()
    products: frozenset[str] = frozenset()
    exclude_groups: frozenset[str] = frozenset()
    exclude_products: frozenset[str] = frozenset()
    exclude_promo: bool = False

    def takes(self, line: Line) -> bool:
        """Whether a line earns. A rule on a group covers what is below it."""
        if line.excluded or (self.exclude_promo and line.promo):
            return False
        if line.sku in self.exclude_products or not self.exclude_groups.isdisjoint(line.ancestry):
            return False
        if not self.groups and not self.products:
            return True
        return line.sku in self.products or not self.groups.isdisjoint(line.ancestry)


class Rounding(msgspec.Struct, frozen=True):
    """How points become whole steps: `step` in 1/100 point, per receipt or per line."""

    mode: RoundingMode = "down"
    step: int = 1
    per: RoundingPer = "receipt"

    def apply(self, value: Fraction) -> int:
        """`value` (1/100 points, exact, not negative) as whole steps."""
        return self.apply_ratio(value.numerator, value.denominator)

    def apply_ratio(self, numerator: int, denominator: int) -> int:
        """The same for numerator / denominator, without making a Fraction of it."""
        unit = denominator * self.step
        whole, rest = divmod(numerator, unit)
        if self.mode == "up":
            whole += rest > 0
        elif self.mode == "half_up":
            whole += 2 * rest >= unit
        elif self.mode == "half_even":
            whole += 2 * rest > unit or (2 * rest == unit and whole % 2 == 1)
        return whole * self.step


class Percent(msgspec.Struct, frozen=True, tag="percent", tag_field="kind"):
    """Points per 100 units of money. `rate` is in 1/10000 of a percent."""

    rate: int


RATE_UNIT = 10_000 * 100
"""A `Percent.rate` of this would give a point for every unit of money."""

Reward = Percent
"""Every reward there is. A further one is a struct here and a function in `rewards.py`."""


class Expiry(msgspec.Struct, frozen=True):
    """How long points live once they are available, and to what the end is rounded up."""

    after: str
    round_up_to: RoundUpTo | None = None


class ProgramVersion(msgspec.Struct, frozen=True, kw_only=True):
    """One version of a program, as the calculation sees it."""

    code: str
    version: int
    name: str
    valid_from: datetime
    valid_to: datetime | None
    scope: Scope
    lines: LineFilter
    reward: Reward
    base: Base
    rounding: Rounding
    bucket: Bucket
    available_after: str | None
    expires: Expiry | None
    on_return: OnReturn

    def runs_at(self, moment: datetime) -> bool:
        """`valid_to` is exclusive."""
        return self.valid_from <= moment and (self.valid_to is None or moment < self.valid_to)


class Line(msgspec.Struct, frozen=True):
    """A receipt line as programs see it. Money in 1/100; `ancestry` nearest group first."""

    number: int
    sku: str | None
    group: str
    ancestry: tuple[str, ...]
    amount: int
    promo: bool = False
    excluded: bool = False


class Basket(msgspec.Struct, frozen=True):
    """A receipt as programs see it. `timezone` is the IANA name of the store's zone."""

    channel: str
    store: str | None
    store_group: str | None
    timezone: str
    occurred_at: datetime
    lines: tuple[Line, ...]


class Award(msgspec.Struct, frozen=True):
    """What one program gives for a basket: `by_line` in 1/100 points, adding up to `points`."""

    program: str
    version: int
    bucket: Bucket
    points: int
    by_line: tuple[int, ...]
    available_from: datetime | None
    expires_at: datetime | None
