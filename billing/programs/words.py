"""Numbers, dates and lists as people write them, in Russian and English."""

from __future__ import annotations

from collections.abc import Iterable
from datetime import date, datetime
from typing import Literal, NamedTuple

from billing.programs.model import UNIT

Language = Literal["ru", "en"]
LANGUAGES: tuple[Language, ...] = ("ru", "en")

_SPACE = "\u00a0"
_MONTHS = (
    "January", "February", "March", "April", "May", "June",
    "July", "August", "September", "October", "November", "December",
)  # fmt: skip


class Unit(NamedTuple):
    """What is counted: one, several; and in Russian 1, 2, 5, and 1 and 5 after «не больше»."""

    en: tuple[str, str]
    ru: tuple[str, str, str]
    of: tuple[str, str]


POINT = Unit(("point", "points"), ("бонус", "бонуса", "бонусов"), ("бонуса", "бонусов"))
YEAR = Unit(("year", "years"), ("год", "года", "лет"), ("года", "лет"))
TIME = Unit(("time", "times"), ("раз", "раза", "раз"), ("раза", "раз"))
DAY = Unit(("day", "days"), ("день", "дня", "дней"), ("дня", "дней"))


def tell(language: Language, en: str, ru: str) -> str:
    """The one of two texts that is in `language`."""
    return en if language == "en" else ru


def amount(value: int, language: Language) -> str:
    """1/100 of a point or of money: `12.50`, `1,500`; `12,50`, `1 500`."""
    whole, fraction = divmod(abs(value), 100)
    sign = "-" if value < 0 else ""
    return f"{sign}{_whole(whole, language)}" + (
        f"{_mark(language)}{fraction:02d}" if fraction else ""
    )


def points(value: int, language: Language, *, genitive: bool = False) -> str:
    """`12.50 points`; `1 бонус`, `2 бонуса`, `12,50 бонуса`; genitive: «не больше 1 бонуса»."""
    text = amount(value, language)
    if value % 100:
        return f"{text}{_SPACE}{POINT.of[0] if language == 'ru' else POINT.en[1]}"
    return f"{text}{_SPACE}{noun(value // 100, POINT, language, genitive=genitive)}"


def counted(value: int, unit: Unit, language: Language, *, genitive: bool = False) -> str:
    """`3 days`; `3 дня`; genitive: «не больше 3 дней»."""
    text = f"{'-' if value < 0 else ''}{_whole(abs(value), language)}"
    return f"{text}{_SPACE}{noun(value, unit, language, genitive=genitive)}"


def noun(value: int, unit: Unit, language: Language, *, genitive: bool = False) -> str:
    """The word that goes with `value`."""
    count = abs(value)
    if language == "en":
        return unit.en[count != 1]
    one = count % 10 == 1 and count % 100 != 11
    if genitive:
        return unit.of[not one]
    if one:
        return unit.ru[0]
    return unit.ru[1 if 2 <= count % 10 <= 4 and not 12 <= count % 100 <= 14 else 2]


def quantity(value: int, language: Language) -> str:
    """1/UNIT of a unit: `2`, `0.357`."""
    return _decimal(value, UNIT, language)


def percent(rate: int, language: Language) -> str:
    """1/10000 of a percent: `2.5%`; `2,5 %`."""
    return _decimal(rate, 10_000, language) + ("%" if language == "en" else f"{_SPACE}%")


def factor(value: int, language: Language) -> str:
    """1/10000: `1.5`."""
    return _decimal(value, 10_000, language)


def clock(minutes: int) -> str:
    return f"{minutes // 60:02d}:{minutes % 60:02d}"


def day(value: date, language: Language) -> str:
    """`31 December 2026`; `31.12.2026`."""
    if language == "ru":
        return f"{value.day:02d}.{value.month:02d}.{value.year}"
    return f"{value.day} {_MONTHS[value.month - 1]} {value.year}"


def moment(value: datetime, language: Language) -> str:
    """The day and the time of day that the value itself says, whatever its zone."""
    return f"{day(value, language)} {value.hour:02d}:{value.minute:02d}"


def either(items: Iterable[str], language: Language) -> str:
    """`a, b or c`."""
    return _listed(items, "or" if language == "en" else "или")


def both(items: Iterable[str], language: Language) -> str:
    """`a, b and c`."""
    return _listed(items, "and" if language == "en" else "и")


def _listed(items: Iterable[str], word: str) -> str:
    *first, last = items
    return f"{', '.join(first)} {word} {last}" if first else last


def _decimal(value: int, unit: int, language: Language) -> str:
    whole, rest = divmod(value, unit)
    digits = f"{rest:0{len(str(unit)) - 1}d}".rstrip("0")
    return _whole(whole, language) + (f"{_mark(language)}{digits}" if digits else "")


def _whole(value: int, language: Language) -> str:
    return f"{value:,}".replace(",", "," if language == "en" else _SPACE)


def _mark(language: Language) -> str:
    return "." if language == "en" else ","
