"""What conditions compare: the kinds of values, how they are written, and their operators.

A kind reads one value of a definition (`read`, which raises ValueError with a message for a
marketer) and has operators. An operator is given what is known and what the condition says:
one value, two (`between`) or a frozenset of many.
"""

from __future__ import annotations

import operator
import re
from collections.abc import Callable, Mapping
from datetime import date
from typing import Any, Literal, NamedTuple

import msgspec

from billing.common.wire import Amount, Code, Instant
from billing.programs.model import UNIT

Takes = Literal["one", "two", "many"]
WEEKDAYS = ("mon", "tue", "wed", "thu", "fri", "sat", "sun")
MAX_WHOLE = 1_000_000
_TIME = re.compile(r"([01][0-9]|2[0-3]):([0-5][0-9])", re.ASCII)
_QUANTITY = re.compile(r"([0-9]{1,9})(?:\.([0-9]{1,6}))?", re.ASCII)


class Op(NamedTuple):
    test: Callable[[Any, Any], bool]
    takes: Takes = "one"


class Kind(NamedTuple):
    """`rank` gives values an order without gaps; None where there is none."""

    name: str
    read: Callable[[object], Any]
    ops: Mapping[str, Op]
    rank: Callable[[Any], int] | None = None
    wraps: bool = False
    """Whether `between` may begin after its end: from 22:00 to 06:00."""


def _between(actual: Any, ends: tuple[Any, Any]) -> bool:
    return bool(ends[0] <= actual <= ends[1])


def _between_times(actual: int, ends: tuple[int, int]) -> bool:
    first, last = ends
    if first <= last:
        return first <= actual <= last
    return actual >= first or actual <= last


_ORDERED = {
    "=": Op(operator.eq),
    "!=": Op(operator.ne),
    "<": Op(operator.lt),
    "<=": Op(operator.le),
    ">": Op(operator.gt),
    ">=": Op(operator.ge),
    "between": Op(_between, "two"),
}
_NAMED = {
    "=": Op(operator.eq),
    "!=": Op(operator.ne),
    "in": Op(lambda actual, wanted: actual in wanted, "many"),
    "not_in": Op(lambda actual, wanted: actual not in wanted, "many"),
}
_IN_TREE = {
    "=": Op(lambda ancestry, wanted: wanted in ancestry),
    "!=": Op(lambda ancestry, wanted: wanted not in ancestry),
    "in": Op(lambda ancestry, wanted: not wanted.isdisjoint(ancestry), "many"),
    "not_in": Op(lambda ancestry, wanted: wanted.isdisjoint(ancestry), "many"),
}
_SET = {
    "has": Op(lambda actual, wanted: wanted in actual),
    "has_not": Op(lambda actual, wanted: wanted not in actual),
    "has_any": Op(lambda actual, wanted: not wanted.isdisjoint(actual), "many"),
}
_ONLY = {"only": Op(lambda actual, wanted: wanted.issuperset(actual), "many")}


def _amount(value: object) -> int:
    return int(Amount.from_wire(value))


def _quantity(value: object) -> int:
    """In 1/UNIT."""
    found = _QUANTITY.fullmatch(value) if isinstance(value, str) else None
    if found is None:
        raise ValueError('must be a decimal string such as "2" or "0.357"')
    whole, fraction = found.groups()
    return int(whole) * UNIT + int((fraction or "").ljust(6, "0"))


def _whole(value: object) -> int:
    if not isinstance(value, int) or isinstance(value, bool) or abs(value) > MAX_WHOLE:
        raise ValueError("must be a whole number such as 18, without quotes")
    return value


def _code(value: object) -> str:
    return str(Code.from_wire(value))


def _flag(value: object) -> bool:
    if not isinstance(value, bool):
        raise ValueError("must be true or false")
    return value


def _time(value: object) -> int:
    """Minutes since midnight."""
    found = _TIME.fullmatch(value) if isinstance(value, str) else None
    if found is None:
        raise ValueError('must be a time of day from "00:00" to "23:59"')
    return int(found[1]) * 60 + int(found[2])


def _weekday(value: object) -> str:
    if value not in WEEKDAYS:
        raise ValueError(f"must be one of {', '.join(map(repr, WEEKDAYS))}")
    return str(value)


def _date(value: object) -> date:
    try:
        return msgspec.convert(value if isinstance(value, str) else None, date)
    except msgspec.ValidationError:
        raise ValueError('must be a date such as "2026-12-31"') from None


def _microseconds(moment: Instant) -> int:
    return round(moment.timestamp() * 1_000_000)


AMOUNT = Kind("amount", _amount, _ORDERED, int)
QUANTITY = Kind("quantity", _quantity, _ORDERED, int)
WHOLE = Kind("whole number", _whole, _ORDERED, int)
TIME = Kind("time", _time, _ORDERED | {"between": Op(_between_times, "two")}, int, wraps=True)
DATE = Kind("date", _date, _ORDERED, date.toordinal)
MOMENT = Kind("moment", Instant.from_wire, _ORDERED, _microseconds)
WEEKDAY = Kind("weekday", _weekday, _NAMED)
NAME = Kind("name", _code, _NAMED)
GROUP = Kind("group", _code, _IN_TREE)
FLAG = Kind("flag", _flag, {"=": Op(operator.eq)})
CODES = Kind("codes", _code, _SET)
TAGS = Kind("tags", _code, _SET)
TYPES = Kind("types", _code, _SET | _ONLY)
