"""Amounts: points and money are integers of 1/100 inside, decimal strings outside."""

from __future__ import annotations

import re
from functools import lru_cache

MAX_AMOUNT = 10**14
"""The largest amount accepted from outside, in 1/100: a trillion points or units of money."""

_AMOUNT = re.compile(r"([+-]?)([0-9]{1,14})(?:\.([0-9]{1,2}))?", re.ASCII)


def parse_amount(text: str, *, signed: bool = False) -> int:
    """Read `"12.5"` as 1250. Raises ValueError with a message for the sender."""
    found = _AMOUNT.fullmatch(text)
    if found is None:
        raise ValueError('must be a decimal string with at most two decimals, such as "12.50"')
    sign, whole, fraction = found.groups()
    if sign and not signed:
        raise ValueError("must be a decimal string without a sign")
    value = int(whole) * 100 + int((fraction or "").ljust(2, "0"))
    if value > MAX_AMOUNT:
        raise ValueError(f"must not be more than {format_amount(MAX_AMOUNT)}")
    return -value if sign == "-" else value


@lru_cache(maxsize=65_536)
def format_amount(value: int) -> str:
    """Write 1250 as `"12.50"`. Cached: one receipt writes some forty amounts, mostly the same."""
    sign = "-" if value < 0 else ""
    whole, fraction = divmod(abs(value), 100)
    return f"{sign}{whole}.{fraction:02d}"


def read_stored(text: str) -> int:
    """What `format_amount` wrote, read back from our own tables: unchecked, so fast."""
    return int(text.replace(".", ""))


def split(total: int, weights: list[int]) -> list[int]:
    """Split `total` (>= 0) over `weights` (>= 0) by largest remainder, ties to the first.

    The parts always add up to `total` (C27, C28); with no weight at all everything goes to the
    first part.
    """
    whole = sum(weights)
    if not weights:
        raise ValueError("nothing to split over")
    if whole == 0:
        return [total] + [0] * (len(weights) - 1)
    parts = [total * weight // whole for weight in weights]
    rest = total - sum(parts)
    if rest:
        by_remainder = sorted(range(len(weights)), key=lambda i: (-(total * weights[i] % whole), i))
        for i in by_remainder[:rest]:
            parts[i] += 1
    return parts
