"""Rewards: how much a program gives for the lines it takes. One function a reward, one registry."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import msgspec

from billing.common.money import split
from billing.programs.model import (
    RATE_UNIT,
    UNIT,
    Brackets,
    Fixed,
    PerAmount,
    Percent,
    PerUnit,
    Reward,
    Rounding,
)


class Taken(msgspec.Struct, frozen=True):
    """The lines a program takes: the money of each that counts (1/100), the quantity of each
    (1/UNIT), and the total of the whole receipt before points."""

    bases: Sequence[int]
    quantities: Sequence[int]
    total: int


RewardFunction = Callable[[Any, Taken, Rounding], list[int]]
"""(reward, lines, rounding) → 1/100 points of each line."""


def percent(reward: Percent, taken: Taken, rounding: Rounding) -> list[int]:
    """A share of the money."""
    return _of_ratio(rounding, [base * reward.rate for base in taken.bases], RATE_UNIT)


def fixed(reward: Fixed, taken: Taken, rounding: Rounding) -> list[int]:
    """The same whatever was bought; it belongs to the lines by their money."""
    return split(reward.points, list(taken.bases))


def per_amount(reward: PerAmount, taken: Taken, rounding: Rounding) -> list[int]:
    """Points for every whole step of money: of each line, or of all of them together (T25)."""
    if rounding.per == "line":
        return [base // reward.step * reward.points for base in taken.bases]
    return split(sum(taken.bases) // reward.step * reward.points, list(taken.bases))


def per_unit(reward: PerUnit, taken: Taken, rounding: Rounding) -> list[int]:
    """Points for every unit sold, of weighed goods for parts of it. What costs nothing, such as a
    gift on a line of its own, is no unit sold (C17)."""
    sold = [
        quantity * reward.points if base else 0
        for quantity, base in zip(taken.quantities, taken.bases, strict=True)
    ]
    return _of_ratio(rounding, sold, UNIT)


def brackets(reward: Brackets, taken: Taken, rounding: Rounding) -> list[int]:
    """The rate of the highest bracket that the receipt's total reaches, of all the money."""
    return percent(Percent(reward.rate(taken.total)), taken, rounding)


_REWARDS: dict[type, RewardFunction] = {
    Percent: percent,
    Fixed: fixed,
    PerAmount: per_amount,
    PerUnit: per_unit,
    Brackets: brackets,
}


def points_of(reward: Reward, taken: Taken, rounding: Rounding) -> list[int]:
    """What `reward` gives for each of the lines. A multiplier needs to know what others gave:
    see `billing.programs.calculation`."""
    return _REWARDS[type(reward)](reward, taken, rounding)


def _of_ratio(rounding: Rounding, numerators: list[int], unit: int) -> list[int]:
    """Rounded per line, or per receipt and split by largest remainder."""
    if rounding.per == "line":
        return [rounding.apply_ratio(one, unit) for one in numerators]
    return split(rounding.apply_ratio(sum(numerators), unit), numerators)
