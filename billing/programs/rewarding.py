"""From a reward, limits and shares as a marketer wrote them to numbers that are calculated with."""

from __future__ import annotations

import re
from collections.abc import Callable
from typing import Any

from billing.common.money import parse_amount
from billing.programs.faults import Faults
from billing.programs.model import (
    FACTOR_UNIT,
    Brackets,
    Fixed,
    Multiplier,
    PerAmount,
    Percent,
    PerUnit,
    Reward,
)
from billing.programs.schemas import BracketIn, RewardIn

_DECIMAL = re.compile(r"([0-9]{1,4})(?:\.([0-9]{1,4}))?", re.ASCII)
_NEEDS = {
    "percent": ("value",),
    "fixed": ("value",),
    "per_amount": ("value", "step"),
    "per_unit": ("value",),
    "brackets": ("brackets",),
    "multiplier": ("value", "programs"),
}
MAX_PERCENT = 1000


def compile_reward(code: str, body: RewardIn | None, faults: Faults) -> Reward:
    """The reward of the program `code`. What is wrong is added to `faults`."""
    if body is None:
        faults.add("/reward", "is missing: say what the program gives")
        return Percent(0)
    before = len(faults)
    for name in ("value", "step", "brackets", "programs"):
        needed, given = name in _NEEDS[body.kind], getattr(body, name) is not None
        if needed and not given:
            faults.add(f"/reward/{name}", f"is missing: a reward {body.kind!r} needs it")
        if given and not needed:
            faults.add(f"/reward/{name}", f"is not of a reward {body.kind!r}; leave it out")
    return Percent(0) if len(faults) > before else _READERS[body.kind](code, body, faults)


def _percent(code: str, body: RewardIn, faults: Faults) -> Reward:
    return Percent(_value(body, faults, _some_rate))


def _fixed(code: str, body: RewardIn, faults: Faults) -> Reward:
    return Fixed(_value(body, faults, _some_points))


def _per_amount(code: str, body: RewardIn, faults: Faults) -> Reward:
    if not body.step:
        faults.add("/reward/step", "must be at least 0.01")
    return PerAmount(_value(body, faults, _some_points), body.step or 1)


def _per_unit(code: str, body: RewardIn, faults: Faults) -> Reward:
    return PerUnit(_value(body, faults, _some_points))


def _brackets(code: str, body: RewardIn, faults: Faults) -> Reward:
    given: list[BracketIn] = body.brackets or []
    before = len(faults)
    rates = [
        (int(one.from_), faults.check(f"/reward/brackets/{index}/value", rate_of, one.value, 0))
        for index, one in enumerate(given)
    ]
    for index in range(1, len(rates)):
        if rates[index][0] <= rates[index - 1][0]:
            faults.add(
                f"/reward/brackets/{index}/from",
                "must be more than that of the bracket before: they go from low to high",
            )
    if len(faults) == before and not any(rate for _, rate in rates):
        faults.add("/reward/brackets", "must have a bracket that gives something")
    return Brackets(tuple(rates))


def _multiplier(code: str, body: RewardIn, faults: Faults) -> Reward:
    programs = frozenset(map(str, body.programs or ()))
    if not programs:
        faults.add("/reward/programs", "must name the programs whose points it multiplies")
    if code in programs:
        faults.add("/reward/programs", "names the program itself")
    return Multiplier(_value(body, faults, _factor), programs)


def _value(body: RewardIn, faults: Faults, read: Callable[[str], int]) -> int:
    return faults.check("/reward/value", read, body.value or "", 1)


_READERS: dict[str, Callable[[str, RewardIn, Faults], Any]] = {
    "percent": _percent,
    "fixed": _fixed,
    "per_amount": _per_amount,
    "per_unit": _per_unit,
    "brackets": _brackets,
    "multiplier": _multiplier,
}


def rate_of(text: str, most: int = MAX_PERCENT) -> int:
    """A percentage in 1/10000 of a percent, from 0 to `most` percent."""
    rate = _four_decimals(text, 'must be a percentage such as "5" or "2.5"')
    if rate > most * 10_000:
        raise ValueError(f"must be at most {most} percent")
    return rate


def share_of(text: str) -> int:
    """A part of the whole, in 1/10000 of a percent; nothing is a part, too."""
    return rate_of(text, 100)


def step_of(text: str) -> int:
    """A rounding step in 1/100."""
    step = parse_amount(text)
    if step == 0:
        raise ValueError("must be at least 0.01")
    return step


def _some_rate(text: str) -> int:
    rate = rate_of(text)
    if rate == 0:
        raise ValueError("must be more than 0, or the reward gives nothing")
    return rate


def _some_points(text: str) -> int:
    points = parse_amount(text)
    if points == 0:
        raise ValueError("must be more than 0, or the reward gives nothing")
    return points


def _factor(text: str) -> int:
    factor = _four_decimals(text, 'must be a factor such as "3" or "1.5"')
    if not FACTOR_UNIT < factor <= 1000 * FACTOR_UNIT:
        raise ValueError("must be more than 1 (3 makes three times as much) and at most 1000")
    return factor


def _four_decimals(text: str, otherwise: str) -> int:
    found = _DECIMAL.fullmatch(text)
    if found is None:
        raise ValueError(otherwise)
    whole, fraction = found.groups()
    return int(whole) * 10_000 + int((fraction or "").ljust(4, "0"))
