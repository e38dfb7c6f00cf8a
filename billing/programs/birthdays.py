"""Birthdays: who was born on 29 February has it on 28 February in other years."""

from __future__ import annotations

from datetime import date
from functools import lru_cache


def birthday_in(year: int, born: date) -> date:
    """The birthday of somebody `born` then, in `year`."""
    if (born.month, born.day) == (2, 29):
        try:
            return date(year, 2, 29)
        except ValueError:
            return date(year, 2, 28)
    return date(year, born.month, born.day)


@lru_cache(maxsize=4096)
def nearest_birthday(born: date, today: date) -> date:
    """The birthday that is nearest to `today`: at most 183 days ahead, or 182 ago."""
    around = (birthday_in(today.year + shift, born) for shift in (-1, 0, 1))
    return next(day for day in around if -182 <= (day - today).days <= 183)


def days_to_birthday(born: date, today: date) -> int:
    """From -182 (that many days ago) to 183 (days ahead); 0 on the day."""
    return (nearest_birthday(born, today) - today).days


def age(born: date, today: date) -> int:
    """Full years."""
    return today.year - born.year - (today < birthday_in(today.year, born))
