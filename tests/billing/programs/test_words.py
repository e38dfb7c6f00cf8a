"""Texts as people write them: numbers, plural forms, dates; every reason has both languages."""

from __future__ import annotations

import pytest

from billing.programs import words
from billing.programs.explain import CODES, Outcome, Reason, because
from billing.programs.model import Leaf


def plain(text: str) -> str:
    return text.replace("\u00a0", " ")


@pytest.mark.parametrize(
    ("value", "en", "ru", "genitive"),
    [
        (100, "1 point", "1 бонус", "1 бонуса"),
        (200, "2 points", "2 бонуса", "2 бонусов"),
        (500, "5 points", "5 бонусов", "5 бонусов"),
        (1100, "11 points", "11 бонусов", "11 бонусов"),
        (1200, "12 points", "12 бонусов", "12 бонусов"),
        (2100, "21 points", "21 бонус", "21 бонуса"),
        (2200, "22 points", "22 бонуса", "22 бонусов"),
        (11200, "112 points", "112 бонусов", "112 бонусов"),
        (0, "0 points", "0 бонусов", "0 бонусов"),
        (1250, "12.50 points", "12,50 бонуса", "12,50 бонуса"),
        (123456789, "1,234,567.89 points", "1 234 567,89 бонуса", "1 234 567,89 бонуса"),
    ],
)
def test_points_agree_with_their_number(value: int, en: str, ru: str, genitive: str) -> None:
    assert plain(words.points(value, "en")) == en
    assert plain(words.points(value, "ru")) == ru
    assert plain(words.points(value, "ru", genitive=True)) == genitive


REASONS: list[tuple[Outcome, str, dict[str, object], str, str]] = [
    ("gave", "gave", {"points": 200}, "Gives 2 points.", "Начислено: 2 бонуса."),
    (
        "reduced",
        "reduced_day",
        {"points": 1250, "limit": 10000},
        "Reduced to 12.50 points: the program gives a customer no more than 100 points a day.",
        "Уменьшено, начислено: 12,50 бонуса; за день клиент получает по программе не больше 100 "
        "бонусов.",
    ),
    (
        "nothing",
        "condition",
        {"condition": Leaf("receipt.total", ">=", 50000)},
        "The condition is not met: the receipt total is at least 500.",
        "Не выполнено условие: сумма чека не меньше 500.",
    ),
    (
        "nothing",
        "line_condition",
        {"condition": Leaf("line.price", "<", 150)},
        "The line does not meet the condition: the price is less than 1.50.",
        "Строка не отвечает условию: цена меньше 1,50.",
    ),
    (
        "nothing",
        "no_money_of_type",
        {"types": ["sbp", "card"]},
        "The program counts only what is paid by card or sbp.",
        "Программа учитывает только оплату card или sbp.",
    ),
    (
        "nothing",
        "stacking_lost",
        {"winner": "best{0}"},
        "The program best{0} gives instead.",
        "Вместо неё бонусы даёт программа best{0}.",
    ),
]


@pytest.mark.parametrize(("outcome", "code", "values", "en", "ru"), REASONS)
def test_a_reason_is_a_sentence(
    outcome: Outcome, code: str, values: dict[str, object], en: str, ru: str
) -> None:
    reason = Reason("p", None, outcome, code, values)
    assert plain(because(reason, "en")) == en
    assert plain(because(reason, "ru")) == ru


def test_every_reason_has_both_languages() -> None:
    values: dict[str, object] = {
        "points": 100, "limit": 100, "step": 100, "types": ["sbp"], "programs": ["a", "b"],
        "winner": "a", "condition": Leaf("line.promo", "=", True), "times": 3,
    }  # fmt: skip
    for code in CODES:
        reason = Reason("p", 1, "nothing", code, values)
        english, russian = because(reason, "en"), because(reason, "ru")
        assert english.isascii() or "\u00a0" in english
        assert any("а" <= letter <= "я" for letter in russian)
