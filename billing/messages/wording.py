"""Kinds of messages, the variables of each, and how a template is filled. Pure.

A template has `{variables}`, and `[parts in square brackets]` that are left out when a variable
in them is empty. What is filled in cannot bring line breaks, addresses or anything like a code:
of a name only its letters are left (a name is what somebody typed at a till).
"""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Callable, Mapping
from datetime import date, datetime
from typing import Final, Literal, get_args

import msgspec

from billing.common.money import parse_amount
from billing.messages.segments import measure
from billing.programs.words import Language, amount

Kind = Literal[
    "consent",
    "code",
    "accrual",
    "redemption",
    "activation",
    "expiring",
    "level_change",
    "balance_reply",
    "stop_reply",
    "confirmed_reply",
]
KINDS: Final[tuple[Kind, ...]] = get_args(Kind)

MAX_TEXT: Final = 1000
MAX_SEGMENTS: Final = 8
"""SMS.ru takes no longer ones."""
MAX_WORD: Final = 40

Value = str | int | date | datetime | None
_DATES: Final[dict[Language, str]] = {"ru": "%d.%m.%Y", "en": "%Y-%m-%d"}

_PLACE: Final = re.compile(r"\{([a-z_]+)\}")
_OPTIONAL: Final = re.compile(r"\[([^\[\]]*)\]")
_CODE: Final = re.compile(r"[0-9]{4,10}")
_LONG_NUMBER: Final = re.compile(r"[0-9](?:[\s-]*[0-9]){3,}")
_BEFORE_STOP: Final = re.compile(r" +([.,;:!?])")


class WrongTemplate(ValueError):
    """The message says what is wrong with the text."""


def _word(value: Value, language: Language) -> str:
    """Words of others: no control characters, no addresses, no numbers long enough for a code."""
    kept = "".join(c if _is_harmless(c) else " " for c in unicodedata.normalize("NFKC", str(value)))
    return " ".join(_LONG_NUMBER.sub(" ", kept).split())[:MAX_WORD].strip()


def _name(value: Value, language: Language) -> str:
    """Letters, and what may stand between them."""
    kept = "".join(
        c if unicodedata.category(c)[0] in "LM" or c in " -'’" else ""
        for c in unicodedata.normalize("NFKC", str(value).replace("\n", " "))
    )
    return " ".join(kept.split())[:MAX_WORD].strip(" -'’")


def _is_harmless(character: str) -> bool:
    return unicodedata.category(character)[0] in "LMN" or character in " -'’\"«»№&+%(),"


def _code(value: Value, language: Language) -> str:
    text = str(value)
    if not _CODE.fullmatch(text):
        raise ValueError("a code has four to ten digits and nothing else")
    return text


def _points(value: Value, language: Language) -> str:
    if isinstance(value, str):
        value = parse_amount(value)
    if not isinstance(value, int):
        raise ValueError("points are an integer of 1/100, or a decimal string")
    return amount(value, language).replace("\u00a0", " ")


def _number(value: Value, language: Language) -> str:
    if not isinstance(value, int):
        raise ValueError("a number is an integer")
    return str(value)


def _date(value: Value, language: Language) -> str:
    if not isinstance(value, date):
        raise ValueError("a date is a date")
    return value.strftime(_DATES[language])


class Variable(msgspec.Struct, frozen=True):
    """How a variable is written, what it stands for, and a value for previews."""

    write: Callable[[Value, Language], str]
    meaning: str
    sample: Value


VARIABLES: Final[Mapping[str, Variable]] = {
    "code": Variable(_code, "the code to tell the cashier", "481526"),
    "minutes": Variable(_number, "for how many minutes the code counts", 10),
    "brand": Variable(_word, "the chain, as the settings name it", "Fresh"),
    "name": Variable(_name, "the customer's name, letters only", "Анна"),
    "store": Variable(_word, "the store's name", "Тверская, 7"),
    "points": Variable(_points, "the points it is about", 12_50),
    "balance": Variable(_points, "what may be spent now", 1_150_00),
    "promo": Variable(_points, "of it promotional", 30_00),
    "deferred": Variable(_points, "what will be available later", 25_00),
    "date": Variable(_date, "the day it is about", date(2026, 12, 31)),
    "level": Variable(_word, "the customer's level", "Gold"),
}


class Shape(msgspec.Struct, frozen=True):
    """What a kind's template must have, and may have besides `brand`; `told` it must have, too,
    but in square brackets: not every such message has it."""

    needs: tuple[str, ...]
    may: tuple[str, ...] = ()
    told: tuple[str, ...] = ()

    @property
    def known(self) -> tuple[str, ...]:
        return (*self.needs, *self.told, *self.may, "brand")


SHAPES: Final[Mapping[Kind, Shape]] = {
    "consent": Shape(("code",), ("minutes", "name", "store")),
    "code": Shape(("code",), ("minutes",), told=("points",)),
    "accrual": Shape(("points",), ("balance", "date", "name", "store")),
    "redemption": Shape(("points",), ("balance", "name", "store")),
    "activation": Shape(("points",), ("balance", "name")),
    "expiring": Shape(("points", "date"), ("balance", "name")),
    "level_change": Shape(("level",), ("name",)),
    "balance_reply": Shape(("points",), ("promo", "deferred", "level")),
    "stop_reply": Shape(()),
    "confirmed_reply": Shape(()),
}


def check(kind: Kind, text: str) -> None:
    """Raise WrongTemplate unless `text` can be a template of this kind."""
    shape = SHAPES[kind]
    bad = next((c for c in text if unicodedata.category(c) in ("Cc", "Cf") and c != "\n"), None)
    if bad is not None:
        raise WrongTemplate(f"must have no invisible characters such as U+{ord(bad):04X}")
    named = _PLACE.findall(text)
    if unknown := [one for one in named if one not in shape.known]:
        known = ", ".join(f"{{{one}}}" for one in shape.known)
        raise WrongTemplate(f"{{{unknown[0]}}} is no variable of {kind}; there are {known}")
    always = _PLACE.findall(_OPTIONAL.sub("", text))
    if missing := [one for one in shape.needs if one not in always]:
        raise WrongTemplate(f"must have {{{missing[0]}}} outside of square brackets")
    if missing := [one for one in shape.told if one not in named or one in always]:
        raise WrongTemplate(
            f"must have {{{missing[0]}}} in square brackets: a code for a payment says its sum"
        )
    if set("{}[]") & set(_OPTIONAL.sub(r"\1", _PLACE.sub("", text))):
        raise WrongTemplate("has a bracket that is not closed, or a name that is no variable's")
    taken = measure(sample(kind, text)).segments
    if taken > MAX_SEGMENTS:
        raise WrongTemplate(f"would take {taken} SMS; at most {MAX_SEGMENTS} are sent")


def fill(text: str, language: Language, variables: Mapping[str, Value]) -> str:
    """The text to be sent. Raises ValueError when a variable's value is of the wrong type."""
    written = {
        name: VARIABLES[name].write(value, language)
        for name, value in variables.items()
        if value is not None and value != ""
    }

    def optional(found: re.Match[str]) -> str:
        return found[1] if all(written.get(one) for one in _PLACE.findall(found[1])) else ""

    # One pass: braces that a value brings are never looked at again.
    bare = _OPTIONAL.sub(optional, text)
    filled = _PLACE.sub(lambda found: written.get(found[1], ""), bare)
    lines = (_BEFORE_STOP.sub(r"\1", " ".join(line.split())) for line in filled.split("\n"))
    return "\n".join(lines).strip()


def sample(kind: Kind, text: str, language: Language = "ru") -> str:
    """The text with sample values, to be looked at and measured."""
    return fill(text, language, {name: VARIABLES[name].sample for name in SHAPES[kind].known})
