"""Which of the programs of a stacking group give: all, the best, or the first."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from typing import TypeVar

from billing.programs.model import ProgramVersion

T = TypeVar("T")

Lost = tuple[T, T]
"""Who gives nothing, and who gives instead."""


def stack(
    given: Iterable[T], program_of: Callable[[T], ProgramVersion], points_of: Callable[[T], int]
) -> tuple[list[T], list[Lost[T]]]:
    """Those that stay, and those that lost; whatever their order, with the same result.

    All of `given` give something. The group's policy is that of its first program by code:
    publishing sees to it that a group has one.
    """
    groups: dict[str, list[T]] = {}
    for one in sorted(given, key=lambda one: program_of(one).code):
        groups.setdefault(program_of(one).stacking.group, []).append(one)
    kept: list[T] = []
    lost: list[Lost[T]] = []
    for group in groups.values():
        policy = program_of(group[0]).stacking.policy
        if policy == "sum":
            kept += group
            continue
        # Ties go to the higher priority, then to the first code.
        by_priority = sorted(group, key=lambda one: -program_of(one).stacking.priority)
        winner = max(by_priority, key=points_of) if policy == "max" else by_priority[0]
        kept.append(winner)
        lost += [(one, winner) for one in group if one is not winner]
    return kept, lost
