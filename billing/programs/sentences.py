"""Conditions as sentences, in Russian and English."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from billing.programs import words
from billing.programs.fields import FIELDS, LINE
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
from billing.programs.model import Condition, Every, Leaf, Not
from billing.programs.words import Language, Unit

_BIRTHDAY = "receipt.days_to_birthday"

_SUBJECTS: dict[str, tuple[str, str]] = {
    "receipt.total": ("the receipt total", "сумма чека"),
    "receipt.lines": ("the number of lines", "число строк чека"),
    "receipt.quantity": ("the quantity of goods", "количество товаров в чеке"),
    "receipt.time": ("the time", "время"),
    "receipt.weekday": ("the day", "день недели"),
    "receipt.date": ("the date", "дата"),
    _BIRTHDAY: ("the time to the birthday", "до дня рождения остаётся"),
    "customer.age": ("the customer's age", "возраст клиента"),
    "customer.registered_at": ("the registration", "регистрация клиента"),
    "customer.days_since_registration": (
        "the time since the registration", "со дня регистрации прошло",
    ),
    "customer.registration_channel": ("the channel of registration", "канал регистрации"),
    "customer.registration_store": ("the store of registration", "магазин регистрации"),
    "line.amount": ("the amount", "сумма"),
    "line.price": ("the price", "цена"),
    "line.quantity": ("the quantity", "количество"),
    "line.sku": ("the product", "товар"),
    "line.group": ("the product group", "товарная группа"),
}  # fmt: skip
_FLAGS: dict[str, tuple[tuple[str, str], tuple[str, str]]] = {
    "receipt.first_purchase": (
        ("it is not the first purchase", "покупка не первая"),
        ("it is the first purchase", "покупка первая"),
    ),
    "customer.verified": (
        ("the customer is not verified", "клиент не подтверждён"),
        ("the customer is verified", "клиент подтверждён"),
    ),
    "line.promo": (
        ("the goods are not on promotion", "товар не по акции"),
        ("the goods are on promotion", "товар по акции"),
    ),
}
_UNITS: dict[str, Unit] = {
    "customer.age": words.YEAR,
    "customer.days_since_registration": words.DAY,
    _BIRTHDAY: words.DAY,
}
_NUMBERS = {
    "=": ("is {0}", "ровно {0}"),
    "!=": ("is not {0}", "не {0}"),
    "<": ("is less than {0}", "меньше {0}"),
    "<=": ("is at most {0}", "не больше {0}"),
    ">": ("is more than {0}", "больше {0}"),
    ">=": ("is at least {0}", "не меньше {0}"),
    "between": ("is from {0} to {1}", "от {0} до {1}"),
}
_TIMES = {
    "=": ("is {0}", "— {0}"),
    "!=": ("is not {0}", "не {0}"),
    "<": ("is before {0}", "раньше {0}"),
    "<=": ("is no later than {0}", "не позже {0}"),
    ">": ("is after {0}", "позже {0}"),
    ">=": ("is no earlier than {0}", "не раньше {0}"),
    "between": ("is from {0} to {1}", "с {0} до {1}"),
}
_NAMES = {
    "=": ("is {0}", "— {0}"),
    "!=": ("is not {0}", "не {0}"),
    "in": ("is {0}", "— {0}"),
    "not_in": ("is not {0}", "не {0}"),
}
_SETS = {
    ("codes", "has"): ("the code {0} is shown", "предъявлен код {0}"),
    ("codes", "has_not"): ("the code {0} is not shown", "код {0} не предъявлен"),
    ("codes", "has_any"): ("the code {0} is shown", "предъявлен код {0}"),
    ("tags", "has"): ("the customer has the tag {0}", "у клиента есть метка {0}"),
    ("tags", "has_not"): ("the customer does not have the tag {0}", "у клиента нет метки {0}"),
    ("tags", "has_any"): ("the customer has the tag {0}", "у клиента есть метка {0}"),
    ("types", "has"): ("it is paid by {0}, perhaps in part", "среди оплат есть {0}"),
    ("types", "has_not"): ("nothing is paid by {0}", "среди оплат нет {0}"),
    ("types", "has_any"): ("it is paid by {0}, perhaps in part", "среди оплат есть {0}"),
    ("types", "only"): ("it is paid by {0} only", "оплачено только {0}"),
}
_DAYS = {
    "en": ("Monday", "Tuesday", "Wednesday", "Thursday", "Friday", "Saturday", "Sunday"),
    "ru": ("понедельник", "вторник", "среда", "четверг", "пятница", "суббота", "воскресенье"),
}


def sentence(condition: Condition, language: Language, *, of_line: bool = False) -> str:
    """`condition` in words, without a full stop. `of_line`: it is about one line alone."""
    return _part(condition, language, of_line, inside=False)


def _part(condition: Condition, language: Language, of_line: bool, *, inside: bool) -> str:
    if isinstance(condition, Leaf):
        text = _leaf(condition, language)
        if of_line or not condition.field.startswith(LINE):
            return text
        return ("on some line {}", "хотя бы в одной строке {}")[_at(language)].format(text)
    if isinstance(condition, Not):
        text = _part(condition.part, language, of_line, inside=True)
        return ("it is not so that {}", "неверно, что {}")[_at(language)].format(text)
    if len(condition.parts) == 1:
        return _part(condition.parts[0], language, of_line, inside=inside)
    parts = [_part(part, language, of_line, inside=True) for part in condition.parts]
    word = (("and", "и") if isinstance(condition, Every) else ("or", "или"))[_at(language)]
    text = f" {word} ".join(parts)
    return f"({text})" if inside else text


def _leaf(leaf: Leaf, language: Language) -> str:
    kind = FIELDS[leaf.field].kind
    if kind is FLAG:
        return _FLAGS[leaf.field][bool(leaf.value)][_at(language)]
    if kind in (CODES, TAGS, TYPES):
        return _SETS[kind.name, leaf.op][_at(language)].format(_named(kind, leaf, language))
    if leaf.field == _BIRTHDAY and leaf.op in ("=", "between"):
        return _near_birthday(leaf.value, language)
    subject = _SUBJECTS[leaf.field][_at(language)]
    if kind in (NAME, GROUP, WEEKDAY):
        return f"{subject} {_NAMES[leaf.op][_at(language)].format(_named(kind, leaf, language))}"
    phrases = _TIMES if kind in (TIME, DATE, MOMENT) else _NUMBERS
    values = leaf.value if isinstance(leaf.value, tuple) else (leaf.value,)
    texts = [_value(kind, leaf, value, language) for value in values]
    return f"{subject} {phrases[leaf.op][_at(language)].format(*texts)}"


def _named(kind: Kind, leaf: Leaf, language: Language) -> str:
    """One name or several, ordered."""
    many = leaf.value if isinstance(leaf.value, frozenset) else (leaf.value,)
    if kind is WEEKDAY:
        days = sorted(WEEKDAYS.index(str(name)) for name in many)
        names = [_DAYS[language][index] for index in days]
    else:
        names = sorted(map(str, many))
    if leaf.op == "not_in" and language == "ru":
        return words.both([names[0], *(f"не {name}" for name in names[1:])], language)
    return words.either(names, language)


def _value(kind: Kind, leaf: Leaf, value: Any, language: Language) -> str:
    if leaf.field in _UNITS:
        genitive = leaf.op not in ("=", "!=")
        return words.counted(value, _UNITS[leaf.field], language, genitive=genitive)
    return _VALUES[kind.name](value, language)


_VALUES: dict[str, Callable[[Any, Language], str]] = {
    AMOUNT.name: words.amount,
    QUANTITY.name: words.quantity,
    WHOLE.name: lambda value, language: str(value),
    TIME.name: lambda value, language: words.clock(value),
    DATE.name: words.day,
    MOMENT.name: words.moment,
}


def _near_birthday(value: object, language: Language) -> str:
    """`0` is the day itself, `3` three days before it, `-3` three days after it."""
    if not isinstance(value, tuple):
        return _distance(value, language, ("on {}", "{}"), ("в день рождения", "ровно {}"))
    last, first = value
    if language == "ru":
        since = _distance(first, language, ("", ""), ("не раньше дня рождения", "не раньше чем {}"))
        until = _distance(last, language, ("", ""), ("не позже дня рождения", "не позже чем {}"))
        return f"{since} и {until}"
    since = _distance(first, language, ("no earlier than {}", "no earlier than {}"), ("", ""))
    until = _distance(last, language, ("no later than {}", "no later than {}"), ("", ""))
    return f"{since} and {until}"


def _distance(days: Any, language: Language, en: tuple[str, str], ru: tuple[str, str]) -> str:
    """The patterns are for the day itself and for a number of days."""
    if language == "en":
        side = "before" if days > 0 else "after"
        count = words.counted(abs(days), words.DAY, language)
        text = f"{count} {side} the birthday" if days else "the birthday"
        return en[bool(days)].format(text)
    count = words.counted(abs(days), words.DAY, language)
    text = f"за {count} до дня рождения" if days > 0 else f"через {count} после дня рождения"
    return ru[bool(days)].format(text)


def _at(language: Language) -> int:
    return 0 if language == "en" else 1
