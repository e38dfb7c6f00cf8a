"""Why points may not pay all of a receipt, in words."""

from __future__ import annotations

from typing import Any, Final

from billing.common.money import format_amount
from billing.programs import words
from billing.programs.payment import Obstacle, Payable
from billing.programs.sentences import sentence
from billing.programs.words import Language

MAX_REASONS: Final = 5
MAX_NAMED_LINES: Final = 10

_TEXTS: Final[dict[str, dict[Language, str]]] = {
    "excluded_product": {
        "en": "The product takes no part in bonus programs.",
        "ru": "Товар не участвует в бонусных программах.",
    },
    "legal tobacco": {
        "en": "Points may not pay for tobacco.",
        "ru": "Табак нельзя оплачивать бонусами.",
    },
    "legal alcohol": {
        "en": "Points may not pay for alcohol.",
        "ru": "Алкоголь нельзя оплачивать бонусами.",
    },
    "promo_line": {
        "en": "Points may not pay for goods on promotion.",
        "ru": "Товары по акции нельзя оплачивать бонусами.",
    },
    "excluded_goods": {
        "en": "Points may not pay for these goods.",
        "ru": "Этот товар нельзя оплачивать бонусами.",
    },
    "other_goods": {
        "en": "Points may pay for other goods only.",
        "ru": "Бонусами можно оплачивать только другие товары.",
    },
    "line_condition": {
        "en": "Points may pay for goods only if {condition}.",
        "ru": "Бонусами можно оплачивать товары при условии: {condition}.",
    },
    "min_line_price": {
        "en": "A unit must still cost at least {price}.",
        "ru": "Единица товара должна стоить не меньше {price}.",
    },
    "max_share": {
        "en": "Points may pay at most {share} of the goods they may pay for.",
        "ru": "Бонусами можно оплатить не больше {share} стоимости товаров, "
        "для которых разрешена такая оплата.",
    },
    "no_share": {
        "en": "The rule lets points pay nothing.",
        "ru": "По этому правилу бонусами платить нельзя.",
    },
    "min_money": {
        "en": "At least {money} of the receipt must be paid in money.",
        "ru": "Не меньше {money} по чеку нужно заплатить деньгами.",
    },
}


def because_of(obstacle: Obstacle, language: Language) -> str:
    """A sentence for people. Of which line it is, is told beside it."""
    values: dict[str, Any] = dict(obstacle.values)
    name = _name(obstacle)
    for money in values.keys() & {"price", "money"}:
        values[money] = words.amount(values[money], language)
    if "share" in values:
        values["share"] = words.percent(values["share"], language)
    if "condition" in values:
        values["condition"] = sentence(values["condition"], language, of_line=True)
    return _TEXTS[name][language].format(**values)


def _name(obstacle: Obstacle) -> str:
    if obstacle.code == "legal":
        return f"legal {obstacle.values['kind']}"
    if obstacle.code == "max_share" and obstacle.values["share"] == 0:
        return "no_share"
    return obstacle.code


def refusal(allowed: Payable) -> str:
    """Why points may not pay what was asked for: how much they may pay at most, and why."""
    limit = f"points may pay at most {format_amount(allowed.total)} of this receipt"
    if allowed.total == 0:
        limit = "points may pay nothing of this receipt"
    by_text: dict[str, list[int]] = {}
    for obstacle in allowed.obstacles:
        lines = by_text.setdefault(because_of(obstacle, "en").removesuffix("."), [])
        if obstacle.line is not None:
            lines.append(obstacle.line)
    reasons = [_of_lines(lines, text) for text, lines in by_text.items()]
    return ". ".join([limit, *reasons[:MAX_REASONS]])


def _of_lines(lines: list[int], text: str) -> str:
    if not lines:
        return text
    named = ", ".join(map(str, lines[:MAX_NAMED_LINES]))
    if len(lines) > MAX_NAMED_LINES:
        named += f" and {len(lines) - MAX_NAMED_LINES} more"
    return f"{'Line' if len(lines) == 1 else 'Lines'} {named}: {text}"
