"""What comes back when goods do: arithmetic of returns, pure and in whole hundredths.

What has come back of a receipt is a function of the quantities returned so far; what one return
moves is the difference of that function after and before it. So any split and any order of
returns end at the same sums, and the last return takes what rounding had left (C4, C5, C8).
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from uuid import UUID

import msgspec

from billing.common.money import split
from billing.programs.model import OnReturn

FINE = 10**9
"""Shares of points are counted in so many parts of 1/100, rounded up: a third and two thirds of
a line are the whole of it."""

Quantities = Mapping[int, int]
"""Line number → 1/UNIT of quantity."""


class SoldLine(msgspec.Struct, frozen=True):
    """A line as it was sold: quantity in 1/UNIT, what points paid of it in 1/100."""

    number: int
    group: str
    quantity: int
    paid: int


class Earned(msgspec.Struct, frozen=True):
    """What one program gave for a receipt, in 1/100 by line number. `program` None: points that
    were stated, not calculated. `step` is the program's rounding."""

    program: str | None
    version: int | None
    by_line: Mapping[int, int]
    step: int = 1
    on_return: OnReturn = "debt"

    @property
    def points(self) -> int:
        return sum(self.by_line.values())


class Sold(msgspec.Struct, frozen=True):
    """A receipt as far as returns are concerned."""

    lines: tuple[SoldLine, ...]
    earned: tuple[Earned, ...]


class Given(msgspec.Struct, frozen=True):
    """What returns before this one took back; `count` is how many there were.

    `cells` by (lot, product group); `lapsed` is the part of them, by lot, that had expired.
    """

    count: int
    quantities: Counter[int]
    points: Counter[tuple[str | None, int]]
    cells: Counter[tuple[UUID, str | None]]
    lapsed: Counter[UUID]


class Progress:
    """How much of a receipt is returned at one moment."""

    def __init__(self, sold: Sold, quantities: Quantities, count: int) -> None:
        self._lines = {line.number: line for line in sold.lines}
        self._quantities = quantities
        self._shares: dict[str | None, dict[int, int]] = {}
        self.whole = count > 0 and not any(self.left().values())
        """Whether everything is. A receipt of nothing but zero quantities is, once returned."""

    def left(self) -> dict[int, int]:
        """What is not returned yet of each line."""
        return {
            number: line.quantity - self._quantities.get(number, 0)
            for number, line in self._lines.items()
        }

    def restored(self, number: int) -> int:
        """Of what points paid of a line: its share, rounded down; all of it with the last piece."""
        line = self._lines[number]
        if self._is_back(number):
            return line.paid
        return line.paid * self._quantities.get(number, 0) // line.quantity if line.quantity else 0

    def shares(self, earned: Earned) -> Mapping[int, int]:
        """Of what a program gave for each line: the share of what is back of it, in 1/FINE,
        rounded up. Lines of which nothing is back are left out."""
        found = self._shares.get(earned.program)
        if found is None:
            found = self._shares[earned.program] = {}
            for number, points in earned.by_line.items():
                if self._is_back(number):
                    found[number] = points * FINE
                elif quantity := self._quantities.get(number):
                    found[number] = -(-points * FINE * quantity // self._lines[number].quantity)
        return found

    def revoked(self, earned: Earned) -> int:
        """Of all that a program gave: whole steps of it; everything with the last of its lines."""
        if all(self._is_back(number) for number, points in earned.by_line.items() if points):
            return earned.points
        fine = sum(self.shares(earned).values())
        return fine // FINE // earned.step * earned.step

    def _is_back(self, number: int) -> bool:
        sold = self._lines[number].quantity
        return self._quantities.get(number, 0) == sold if sold else self.whole


def by_line(
    earned: Earned, points: int, progress: Progress, done: Given, returned: Iterable[int]
) -> dict[int, int]:
    """To which lines `points`, which a return takes of a program, belong.

    First to the lines that come back with it, none beyond what it earned. What rounding had left
    with lines returned earlier is taken from those.
    """
    before, program = done.points, earned.program
    rest = {
        number: max(0, -(-share // FINE) - before.get((program, number), 0))
        for number, share in sorted(progress.shares(earned).items())
    }
    found: Counter[int] = Counter()
    for numbers in ([n for n in sorted(returned) if n in rest], list(rest)):
        part = min(points, sum(rest[number] for number in numbers))
        points -= part
        for number, share in zip(
            numbers, split(part, [rest[n] for n in numbers]) if part else (), strict=False
        ):
            found[number] += share
            rest[number] -= share
    if points:
        raise ArithmeticError(f"{points} points of {earned.program} belong to no line")
    return {number: share for number, share in found.items() if share}


def spread(total: int, caps: Sequence[int]) -> list[int]:
    """`total`, or as much as there is room for, by the size of the caps."""
    total = min(total, sum(caps))
    return split(total, list(caps)) if total else [0] * len(caps)
