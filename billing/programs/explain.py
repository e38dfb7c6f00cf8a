"""Why a program gave what it gave, or nothing: reasons, and the sentences that tell them.

A reason's `code` says which of `_TEXTS`, its `values` what the text speaks of: points, limits
and steps in 1/100, a condition, codes of programs and types of payment.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from typing import Any, Literal, cast

import msgspec

from billing.programs import words
from billing.programs.model import Condition
from billing.programs.sentences import sentence
from billing.programs.words import Language

Outcome = Literal["gave", "reduced", "nothing"]


class Reason(msgspec.Struct, frozen=True):
    """`line` is the number of a receipt's line; None: of the whole receipt or event."""

    program: str
    line: int | None
    outcome: Outcome
    code: str
    values: dict[str, object]


def because(reason: Reason, language: Language) -> str:
    """The reason as one sentence, in Russian or English."""
    text = _TEXTS[reason.code][0 if language == "en" else 1]
    told = {name: _TELLERS[name](value, language) for name, value in reason.values.items()}
    if reason.code == "condition":
        told["condition"] = sentence(_condition(reason.values), language)
    elif reason.code == "line_condition":
        told["condition"] = sentence(_condition(reason.values), language, of_line=True)
    text = text.format_map(told)
    return f"{text[0].upper()}{text[1:]}."


def _condition(values: Mapping[str, object]) -> Condition:
    return cast(Condition, values["condition"])


def _points(value: Any, language: Language) -> str:
    return words.points(value, language)


def _limit(value: Any, language: Language) -> str:
    return words.points(value, language, genitive=True)


def _codes(value: Any, language: Language) -> str:
    codes: Iterable[str] = sorted(map(str, value))
    return words.either(codes, language)


_TELLERS: dict[str, Callable[[Any, Language], str]] = {
    "points": _points,
    "limit": _limit,
    "step": _limit,
    "times": lambda value, language: words.counted(value, words.TIME, language, genitive=True),
    "types": _codes,
    "programs": _codes,
    "winner": lambda value, language: str(value),
    "condition": lambda value, language: "",
}

_TEXTS: dict[str, tuple[str, str]] = {
    "gave": ("gives {points}", "начислено: {points}"),
    "reduced_receipt": (
        "reduced to {points}: the program gives no more than {limit} a receipt",
        "уменьшено, начислено: {points}; за один чек программа даёт не больше {limit}",
    ),
    "reduced_day": (
        "reduced to {points}: the program gives a customer no more than {limit} a day",
        "уменьшено, начислено: {points}; за день клиент получает по программе не больше {limit}",
    ),
    "reduced_budget": (
        "reduced to {points}: no more is left of the program's budget",
        "уменьшено, начислено: {points}; больше в бюджете программы не осталось",
    ),
    "condition": ("the condition is not met: {condition}", "не выполнено условие: {condition}"),
    "no_lines": (
        "nothing in the receipt is of this program",
        "в чеке нет товаров, участвующих в программе",
    ),
    "excluded_product": (
        "no program gives points for this product",
        "за этот товар бонусы не начисляются ни по одной программе",
    ),
    "promo_line": (
        "the program does not count goods on promotion",
        "программа не действует на товары по акции",
    ),
    "other_goods": (
        "the program is for other goods",
        "программа действует на другие товары",
    ),
    "excluded_goods": (
        "the program excludes this product or its group",
        "этот товар или его группа исключены из программы",
    ),
    "line_condition": (
        "the line does not meet the condition: {condition}",
        "строка не отвечает условию: {condition}",
    ),
    "costs_nothing": (
        "the goods of this program cost nothing",
        "товары, участвующие в программе, ничего не стоят",
    ),
    "paid_with_points": (
        "all of it is paid with points, and the program counts money only",
        "всё оплачено бонусами, а программа учитывает только деньги",
    ),
    "no_money_of_type": (
        "the program counts only what is paid by {types}",
        "программа учитывает только оплату {types}",
    ),
    "rounds_to_nothing": (
        "less than {step} came out, which rounds to nothing",
        "вышло меньше {step}, после округления ничего не осталось",
    ),
    "below_brackets": (
        "the receipt total is below the lowest bracket",
        "сумма чека меньше нижней границы программы",
    ),
    "stacking_lost": (
        "the program {winner} gives instead",
        "вместо неё бонусы даёт программа {winner}",
    ),
    "limit_receipt": (
        "the program gives no more than {limit} a receipt",
        "за один чек программа даёт не больше {limit}",
    ),
    "limit_day": (
        "the program gives a customer no more than {limit} a day, and they are given already",
        "за день клиент получает по программе не больше {limit}, и они уже начислены",
    ),
    "limit_times": (
        "the program gives a customer something no more than {times} a day, and it has done so",
        "программа начисляет клиенту не чаще {times} в день, и она это уже сделала",
    ),
    "limit_budget": (
        "the program's budget is used up",
        "бюджет программы исчерпан",
    ),
    "nothing_to_multiply": (
        "nothing was given by {programs} that could be multiplied",
        "умножать нечего: по {programs} ничего не начислено",
    ),
    "already_given": (
        "the program has given its points already; it gives them once",
        "программа уже начислила свои бонусы, она делает это один раз",
    ),
    "another_event": (
        "the program waits for another event",
        "программа ждёт другого события",
    ),
    "birthday_unknown": (
        "the customer's date of birth is not known",
        "дата рождения клиента неизвестна",
    ),
    "birthday_not_now": (
        "the birthday is not near enough",
        "день рождения не сейчас",
    ),
    "birthday_known_late": (
        "the date of birth was entered too late for this birthday",
        "дата рождения внесена слишком поздно для этого дня рождения",
    ),
    "not_first_purchase": (
        "it is not the customer's first purchase",
        "это не первая покупка клиента",
    ),
    "expired_already": (
        "the points would have expired before they could be spent",
        "срок бонусов истёк бы раньше, чем их можно потратить",
    ),
}  # fmt: skip
CODES = frozenset(_TEXTS)
"""Every code a reason may have."""
