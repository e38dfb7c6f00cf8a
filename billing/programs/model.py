"""A bonus program as data, compiled once for fast calculation.

A program is versioned; a published version never changes, and receipts remember which one gave
their points. What is not settled by its data is settled by nobody.
"""

from __future__ import annotations

from collections.abc import Iterator
from datetime import date, datetime
from fractions import Fraction
from functools import cached_property
from typing import Literal
from uuid import UUID

import msgspec

from billing.catalog.model import Legal
from ledger.flows import BurnOrder

RoundingMode = Literal["down", "up", "half_up", "half_even"]
RoundingPer = Literal["receipt", "line"]
Bucket = Literal["base", "promo"]
Base = Literal["net_of_points", "gross"]
OnReturn = Literal["debt", "floor", "refuse"]
RoundUpTo = Literal["month", "quarter", "half_year", "year"]
Policy = Literal["sum", "max", "priority"]
Recipient = Literal["customer", "referred"]

UNIT = 1_000_000
"""Quantities are integers of 1/1,000,000 of a unit."""


class Line(msgspec.Struct, frozen=True):
    """A receipt line as programs see it. Money in 1/100, quantity in 1/UNIT; `ancestry` nearest
    group first. An `excluded` one neither earns nor is paid with points; `legal` goods earn."""

    number: int
    sku: str | None
    group: str
    ancestry: tuple[str, ...]
    amount: int
    promo: bool = False
    excluded: bool = False
    quantity: int = UNIT
    price: int | None = None
    legal: Legal | None = None


class Basket(msgspec.Struct, frozen=True, dict=True):
    """A receipt as programs see it. `timezone` is the IANA name of the store's zone; `payments`
    are (type, 1/100 money), `codes` what the customer showed. An event has no lines."""

    channel: str | None
    store: str | None
    store_group: str | None
    timezone: str
    occurred_at: datetime
    lines: tuple[Line, ...]
    payments: tuple[tuple[str, int], ...] = ()
    codes: frozenset[str] = frozenset()

    @cached_property
    def total(self) -> int:
        """Before points, in 1/100."""
        return sum(line.amount for line in self.lines)

    def payments_of(self, types: frozenset[str]) -> Iterator[int]:
        """The amounts paid by one of these types."""
        return (amount for kind, amount in self.payments if kind in types)


class Member(msgspec.Struct, frozen=True):
    """The customer as programs see one. `first_purchase` None: nobody asked, so nobody looked."""

    id: UUID
    tags: frozenset[str] = frozenset()
    registered_at: datetime | None = None
    channel: str | None = None
    store: str | None = None
    birth_date: date | None = None
    birth_date_since: datetime | None = None
    verified_at: datetime | None = None
    first_purchase: bool | None = None


class Situation(msgspec.Struct, frozen=True):
    """What a calculation is about: a basket, or an event with an empty one, of a customer.

    `event` is the scenario that happened, `event_key` what makes this one occurrence of it
    (a year, a referred customer, the sender's own id): a scenario gives once per key.
    """

    basket: Basket
    member: Member
    event: str | None = None
    event_key: str = ""


class Scope(msgspec.Struct, frozen=True):
    """Where a program works. An empty set does not restrict."""

    channels: frozenset[str] = frozenset()
    stores: frozenset[str] = frozenset()
    store_groups: frozenset[str] = frozenset()
    exclude_stores: frozenset[str] = frozenset()

    def covers(self, channel: str | None, store: str | None, store_group: str | None) -> bool:
        """Whether a receipt of that place is inside. Stores and store groups are alternatives."""
        if self.channels and channel not in self.channels:
            return False
        if store is not None and store in self.exclude_stores:
            return False
        if not self.stores and not self.store_groups:
            return True
        return store in self.stores or store_group in self.store_groups


class Leaf(msgspec.Struct, frozen=True):
    """`field op value`; the value is typed as `billing.programs.conditions` says of the field."""

    field: str
    op: str
    value: object


class Every(msgspec.Struct, frozen=True):
    """All of `parts` hold."""

    parts: tuple[Condition, ...]


class Some(msgspec.Struct, frozen=True):
    """At least one of `parts` holds."""

    parts: tuple[Condition, ...]


class Not(msgspec.Struct, frozen=True):
    part: Condition


Condition = Leaf | Every | Some | Not


class LineFilter(msgspec.Struct, frozen=True):
    """Which lines are meant. Exclusions win; an empty inclusion means every line."""

    groups: frozenset[str] = frozenset()
    products: frozenset[str] = frozenset()
    exclude_groups: frozenset[str] = frozenset()
    exclude_products: frozenset[str] = frozenset()
    exclude_promo: bool = False
    when: Condition | None = None
    """Over fields of the line alone; checked by the calculation, not by `takes`."""

    def takes(self, line: Line) -> bool:
        """Whether a line is meant, but for `when`. A rule on a group covers what is below it."""
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


class Percent(msgspec.Struct, frozen=True):
    """Points per 100 units of money. `rate` is in 1/10000 of a percent."""

    rate: int


RATE_UNIT = 10_000 * 100
"""A rate of this would give a point for every unit of money."""


class Fixed(msgspec.Struct, frozen=True):
    """`points` (1/100) once a receipt or event."""

    points: int


class PerAmount(msgspec.Struct, frozen=True):
    """`points` (1/100) for every whole `step` of money (1/100)."""

    points: int
    step: int


class PerUnit(msgspec.Struct, frozen=True):
    """`points` (1/100) for every unit sold."""

    points: int


class Brackets(msgspec.Struct, frozen=True):
    """(from this receipt total in 1/100, rate), ascending: the last one reached counts for all."""

    rates: tuple[tuple[int, int], ...]

    def rate(self, total: int) -> int:
        """The rate of a receipt of `total`; 0 below the first bracket."""
        return max((one for one in self.rates if one[0] <= total), default=(0, 0))[1]


class Multiplier(msgspec.Struct, frozen=True):
    """Makes what `programs` gave on its lines `factor` (in 1/10000) times as much."""

    factor: int
    programs: frozenset[str]


FACTOR_UNIT = 10_000

Reward = Percent | Fixed | PerAmount | PerUnit | Brackets | Multiplier
"""Every reward there is. A further one is a struct here and a function in `rewards.py`."""


class Instalments(msgspec.Struct, frozen=True):
    """`count` equal parts, 2 to 24, the first when the points are available, then one `every`
    period."""

    count: int
    every: str


class Availability(msgspec.Struct, frozen=True):
    """From when points may be spent: after a period, or at a moment; perhaps in instalments."""

    after: str | None = None
    at: datetime | None = None
    instalments: Instalments | None = None


class Expiry(msgspec.Struct, frozen=True):
    """How long points live once they are available and to what the end is rounded up, or `at`."""

    after: str | None = None
    round_up_to: RoundUpTo | None = None
    at: datetime | None = None


class Stacking(msgspec.Struct, frozen=True):
    """How programs of one group stand together: all give (`sum`), the one that gives most
    (`max`), or the one with the highest priority that gives anything (`priority`)."""

    group: str = "main"
    policy: Policy = "sum"
    priority: int = 0


class Limits(msgspec.Struct, frozen=True):
    """In 1/100 points: of one receipt or event, of one customer and local day, of all together;
    and how often a customer gets anything on a local day."""

    per_receipt: int | None = None
    per_customer_day: int | None = None
    budget: int | None = None
    times_per_customer_day: int | None = None


class ScenarioRule(msgspec.Struct, frozen=True):
    """What a scenario waits for. Birthdays: given from `days_before` to `days_after` the day, and
    only if the date was known `known_before` days ahead. Referrals: to whom."""

    on: str
    days_before: int = 0
    days_after: int = 0
    known_before: int = 0
    to: Recipient = "customer"


class ProgramVersion(msgspec.Struct, frozen=True, kw_only=True):
    """One version of a program that gives points, as the calculation sees it.

    `scenario` None: type `accrual`. `payment_types` empty: all money counts.
    """

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
    when: Condition | None = None
    payment_types: frozenset[str] = frozenset()
    available: Availability | None = None
    expires: Expiry | None = None
    stacking: Stacking = Stacking()
    limits: Limits = Limits()
    scenario: ScenarioRule | None = None
    on_return: OnReturn = "debt"
    asks: frozenset[str] = frozenset()
    """The fields its conditions look at; filled in by the book."""
    first_only: bool = False
    """Whether its conditions demand a first purchase; filled in by the book."""

    def runs_at(self, moment: datetime) -> bool:
        """`valid_to` is exclusive."""
        return self.valid_from <= moment and (self.valid_to is None or moment < self.valid_to)


class RedemptionRule(msgspec.Struct, frozen=True, kw_only=True):
    """One version of a program of type `redemption`: what points may pay, where it works.

    `max_share` (in 1/10000 of a percent) is of the sum of the lines that may be paid;
    `min_line_price` is what a unit must still cost, `min_money` what must be paid in money.
    """

    code: str
    version: int
    name: str
    valid_from: datetime
    valid_to: datetime | None
    scope: Scope
    lines: LineFilter
    when: Condition | None = None
    legal: frozenset[Legal] = frozenset(("tobacco", "alcohol"))
    max_share: int = 100 * 10_000
    min_line_price: int = 0
    min_money: int = 0
    order: BurnOrder = "expiry"
    priority: int = 0

    def runs_at(self, moment: datetime) -> bool:
        """`valid_to` is exclusive."""
        return self.valid_from <= moment and (self.valid_to is None or moment < self.valid_to)


class Part(msgspec.Struct, frozen=True):
    """Points of an award with one life: they become one lot. None: at once, and for ever."""

    points: int
    by_line: tuple[int, ...]
    available_from: datetime | None
    expires_at: datetime | None


class Award(msgspec.Struct, frozen=True):
    """What one program gives: `by_line` in 1/100 points, adding up to `points`, as `parts` do.

    Of an event, which has no lines, `by_line` is empty.
    """

    program: str
    version: int
    bucket: Bucket
    points: int
    by_line: tuple[int, ...]
    parts: tuple[Part, ...]
