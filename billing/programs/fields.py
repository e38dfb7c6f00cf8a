"""What a condition may look at. A further field is an entry of FIELDS and its two names in
`sentences.py`.

A reader gives None for what is not known; then no comparison holds, whichever the operator.
"""

from __future__ import annotations

from collections.abc import Callable
from datetime import date, datetime
from functools import lru_cache
from typing import Any, NamedTuple
from zoneinfo import ZoneInfo

from billing.programs.birthdays import age, days_to_birthday
from billing.programs.kinds import (
    AMOUNT,
    CODES,
    DATE,
    FLAG,
    GROUP,
    MOMENT,
    NAME,
    QUANTITY,
    TAGS,
    TIME,
    TYPES,
    WEEKDAY,
    WEEKDAYS,
    WHOLE,
    Kind,
)
from billing.programs.model import Line, Situation


class Field(NamedTuple):
    """`read` takes a Line when the name begins with `line.`, else a Situation.

    `least` and `most` bound what can be read, as ranks of the kind. `of_sale`: only a sale has
    it, an event has not.
    """

    kind: Kind
    read: Callable[[Any], Any]
    least: int | None = None
    most: int | None = None
    of_sale: bool = False


@lru_cache(maxsize=4096)
def _local(moment: datetime, timezone: str) -> datetime:
    return moment.astimezone(ZoneInfo(timezone))


def local(situation: Situation) -> datetime:
    """When it happens, by the clock of the store."""
    return _local(situation.basket.occurred_at, situation.basket.timezone)


def _total(situation: Situation) -> int:
    return situation.basket.total


def _lines(situation: Situation) -> int:
    return len(situation.basket.lines)


def _quantity(situation: Situation) -> int:
    return sum(line.quantity for line in situation.basket.lines)


def _payment_types(situation: Situation) -> frozenset[str] | None:
    # A till that does not tell how it was paid says nothing about any type.
    return frozenset(kind for kind, _ in situation.basket.payments) or None


def _time(situation: Situation) -> int:
    moment = local(situation)
    return moment.hour * 60 + moment.minute


def _weekday(situation: Situation) -> str:
    return WEEKDAYS[local(situation).weekday()]


def _date(situation: Situation) -> date:
    return local(situation).date()


def _first_purchase(situation: Situation) -> bool | None:
    return situation.member.first_purchase


def _days_to_birthday(situation: Situation) -> int | None:
    born = situation.member.birth_date
    return None if born is None else days_to_birthday(born, local(situation).date())


def _codes(situation: Situation) -> frozenset[str]:
    return situation.basket.codes


def _tags(situation: Situation) -> frozenset[str]:
    return situation.member.tags


def _age(situation: Situation) -> int | None:
    born = situation.member.birth_date
    return None if born is None else age(born, local(situation).date())


def _registered_at(situation: Situation) -> datetime | None:
    return situation.member.registered_at


def _days_since_registration(situation: Situation) -> int | None:
    since = situation.member.registered_at
    if since is None:
        return None
    return (local(situation).date() - _local(since, situation.basket.timezone).date()).days


def _registration_channel(situation: Situation) -> str | None:
    return situation.member.channel


def _registration_store(situation: Situation) -> str | None:
    return situation.member.store


def _verified(situation: Situation) -> bool:
    return situation.member.verified_at is not None


def _line(name: str) -> Callable[[Line], Any]:
    return lambda line: getattr(line, name)


FIELDS: dict[str, Field] = {
    "receipt.total": Field(AMOUNT, _total, 0, of_sale=True),
    "receipt.lines": Field(WHOLE, _lines, 1, of_sale=True),
    "receipt.quantity": Field(QUANTITY, _quantity, 0, of_sale=True),
    "receipt.payment_types": Field(TYPES, _payment_types, of_sale=True),
    "receipt.codes": Field(CODES, _codes, of_sale=True),
    "receipt.time": Field(TIME, _time, 0, 24 * 60 - 1),
    "receipt.weekday": Field(WEEKDAY, _weekday),
    "receipt.date": Field(DATE, _date),
    "receipt.first_purchase": Field(FLAG, _first_purchase, of_sale=True),
    "receipt.days_to_birthday": Field(WHOLE, _days_to_birthday, -182, 183),
    "customer.tags": Field(TAGS, _tags),
    "customer.age": Field(WHOLE, _age, 0),
    "customer.registered_at": Field(MOMENT, _registered_at),
    "customer.days_since_registration": Field(WHOLE, _days_since_registration),
    "customer.registration_channel": Field(NAME, _registration_channel),
    "customer.registration_store": Field(NAME, _registration_store),
    "customer.verified": Field(FLAG, _verified),
    "line.amount": Field(AMOUNT, _line("amount"), 0, of_sale=True),
    "line.price": Field(AMOUNT, _line("price"), 0, of_sale=True),
    "line.quantity": Field(QUANTITY, _line("quantity"), 0, of_sale=True),
    "line.sku": Field(NAME, _line("sku"), of_sale=True),
    "line.group": Field(GROUP, _line("ancestry"), of_sale=True),
    "line.promo": Field(FLAG, _line("promo"), of_sale=True),
}
LINE = "line."
