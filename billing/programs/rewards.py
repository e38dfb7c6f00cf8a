"""Rewards: how much a program gives for the lines it takes. One function a reward, one registry."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

from billing.common.money import split
from billing.programs.model import RATE_UNIT, Percent, Reward, Rounding

RewardFunction = Callable[[Any, Sequence[int], Rounding], list[int]]
"""(reward, base of each line in 1/100 money, rounding) → 1/100 points of each line."""


def percent(reward: Percent, bases: Sequence[int], rounding: Rounding) -> list[int]:
    """A share of the money, rounded per line, or per receipt and split by largest remainder."""
    if rounding.per == "line":
        return [rounding.apply_ratio(base * reward.rate, RATE_UNIT) for base in bases]
    total = rounding.apply_ratio(sum(bases) * reward.rate, RATE_UNIT)
    return split(total, list(bases))


_REWARDS: dict[type, RewardFunction] = {Percent: percent}


def points_of(reward: Reward, bases: Sequence[int], rounding: Rounding) -> list[int]:
    """What `reward` gives for each of the lines whose bases these are."""
    return _REWARDS[type(reward)](reward, bases, rounding)
