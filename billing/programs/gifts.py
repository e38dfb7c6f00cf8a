"""What a program gives, as text."""

from __future__ import annotations

from billing.programs import words
from billing.programs.model import (
    FACTOR_UNIT,
    Brackets,
    Fixed,
    Multiplier,
    PerAmount,
    Percent,
    PerUnit,
    ProgramVersion,
)
from billing.programs.words import Language, amount, percent, points, tell


def reward(program: ProgramVersion, language: Language) -> str:
    """How many points, and of what."""
    given, money = program.reward, _money(program, language)
    match given:
        case Percent():
            return f"{percent(given.rate, language)} {money}"
        case Fixed():
            return points(given.points, language)
        case PerAmount():
            some, step = points(given.points, language), amount(given.step, language)
            return tell(
                language, f"{some} for every {step} {money}", f"{some} за каждые {step} {money}"
            )
        case PerUnit():
            some = points(given.points, language)
            return tell(language, f"{some} for every unit sold", f"{some} за каждую единицу товара")
        case Brackets():
            return f"{_brackets(given, language)} {money}"
        case Multiplier():
            return _multiplier(given, language)


def _brackets(given: Brackets, language: Language) -> str:
    told = []
    for start, rate in given.rates:
        share, total = percent(rate, language), amount(start, language)
        told.append(
            tell(language, f"{share} from a total of {total}", f"{share} при сумме чека от {total}")
        )
    return ", ".join(told)


def _multiplier(given: Multiplier, language: Language) -> str:
    named = words.both(sorted(given.programs), language)
    times = words.factor(given.factor, language)
    whole, rest = divmod(given.factor, FACTOR_UNIT)
    word = "раза" if rest else words.noun(whole, words.TIME, "ru")
    return tell(
        language,
        f"so much that the points of {named} become {times} times as many",
        f"столько, чтобы бонусов по {named} стало в {times} {word} больше",
    )


def _money(program: ProgramVersion, language: Language) -> str:
    if program.payment_types:
        types = words.either(sorted(program.payment_types), language)
        return tell(language, f"of what is paid by {types}", f"от суммы, оплаченной {types}")
    if program.base == "gross":
        return tell(language, "of the price before points", "от суммы до оплаты бонусами")
    return tell(language, "of what is paid in money", "от суммы, оплаченной деньгами")
