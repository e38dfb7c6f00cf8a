"""What a basket earns. Pure, exact, and the same whatever the order of programs and lines."""

from __future__ import annotations

from collections.abc import Iterable, Sequence

from billing.common.money import split
from billing.programs.model import Award, Basket, ProgramVersion
from billing.programs.periods import lifetime
from billing.programs.rewards import points_of


def calculate(
    programs: Iterable[ProgramVersion], basket: Basket, points_paid: Sequence[int]
) -> tuple[Award, ...]:
    """The awards of `basket`, by program code; `points_paid` is what points pay of each line."""
    awards = [
        award for program in programs if (award := _award(program, basket, points_paid)) is not None
    ]
    return tuple(sorted(awards, key=lambda award: award.program))


def _award(program: ProgramVersion, basket: Basket, points_paid: Sequence[int]) -> Award | None:
    if not program.runs_at(basket.occurred_at):
        return None
    if not program.scope.covers(basket.channel, basket.store, basket.store_group):
        return None
    taken = [i for i, line in enumerate(basket.lines) if program.lines.takes(line)]
    # Remainders are handed out in an order of the lines' own, so that a shuffled receipt earns
    # the same on each line.
    taken.sort(key=lambda i: basket.lines[i].number)
    net = program.base == "net_of_points"
    bases = [basket.lines[i].amount - (points_paid[i] if net else 0) for i in taken]
    if not any(bases):
        return None
    by_line = [0] * len(basket.lines)
    for i, points in zip(taken, points_of(program.reward, bases, program.rounding), strict=True):
        by_line[i] = points
    total = sum(by_line)
    if total == 0:
        return None
    available_from, expires_at = lifetime(program, basket.occurred_at, basket.timezone)
    return Award(
        program.code,
        program.version,
        program.bucket,
        total,
        tuple(by_line),
        available_from,
        expires_at,
    )


def payable(basket: Basket) -> int:
    """How much of `basket` points may pay, in 1/100: a point is worth a unit of money."""
    return sum(line.amount for line in basket.lines if not line.excluded)


def pay_with_points(basket: Basket, points: int) -> list[int]:
    """What `points` (at most `payable`) pay of each line: by value, largest remainder (C27)."""
    weights = [0 if line.excluded else line.amount for line in basket.lines]
    if points == 0:
        return [0] * len(weights)
    order = sorted(range(len(weights)), key=lambda i: basket.lines[i].number)
    paid = [0] * len(weights)
    for i, part in zip(order, split(points, [weights[i] for i in order]), strict=True):
        paid[i] = part
    return paid


def by_group(basket: Basket, by_line: Sequence[int]) -> tuple[tuple[str, int], ...]:
    """Points of lines summed by product group, in the order of the lines; zeros left out."""
    sums: dict[str, int] = {}
    for line, points in zip(basket.lines, by_line, strict=True):
        if points:
            sums[line.group] = sums.get(line.group, 0) + points
    return tuple(sums.items())
