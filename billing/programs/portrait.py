"""A whole program as text, in Russian and English: what a marketer reads before publishing."""

from __future__ import annotations

from collections.abc import Iterator
from functools import partial
from heapq import nsmallest

from billing.programs import words
from billing.programs.gifts import reward
from billing.programs.lives import availability, expiry
from billing.programs.model import (
    Fixed,
    LineFilter,
    PerAmount,
    ProgramVersion,
    RedemptionRule,
    Scope,
)
from billing.programs.occasions import occasion
from billing.programs.sentences import sentence
from billing.programs.words import Language, tell

MAX_NAMED = 50
"""Of longer lists of stores or goods only the beginning is told."""

_ROUNDING = {
    "down": ("down", "вниз"),
    "up": ("up", "вверх"),
    "half_up": ("to the nearest, halves up", "до ближайшего, половины вверх"),
    "half_even": ("to the nearest, halves to even", "до ближайшего, половины к чётному"),
}
_ORDERS = {
    "expiry": ("those that expire first", "те, что раньше сгорают"),
    "promo_first": ("promotional points", "акционные"),
    "base_first": ("base points", "основные"),
    "oldest": ("the oldest points", "самые старые"),
}
_RETURNS = {
    "debt": ("are owed", "становятся долгом"),
    "floor": ("are forgiven", "прощаются"),
    "refuse": ("forbid the return", "не дают оформить возврат"),
}
_BUCKETS = {"base": ("base", "основные"), "promo": ("promotional", "акционные")}
_LEGAL = {"tobacco": ("tobacco", "табак"), "alcohol": ("alcohol", "алкоголь")}


def portrait(program: ProgramVersion | RedemptionRule, language: Language) -> str:
    """All that the program says, a sentence after the other."""
    if isinstance(program, ProgramVersion):
        parts = [*_giving(program, language), _validity(program, language)]
    else:
        parts = [*_redemption(program, language), _validity(program, language)]
    return " ".join(f"{part[0].upper()}{part[1:]}." for part in parts if part)


def _giving(program: ProgramVersion, language: Language) -> Iterator[str]:
    say = partial(tell, language)
    yield say("gives ", "начисляет ") + reward(program, language)
    if program.scenario is not None:
        yield occasion(program.scenario, language)
    yield from _shared(program, language)
    yield _rounding(program, language)
    promo = (
        say("promotional", "акционные") if program.bucket == "promo" else say("base", "основные")
    )
    begin, end = availability(program.available, language), expiry(program.expires, language)
    yield say(f"these are {promo} points, {begin}; {end}", f"это {promo} бонусы, {begin}; {end}")
    yield _limits(program, language)
    yield _stacking(program, language)
    if program.scenario is not None and program.scenario.on != "first_purchase":
        return  # Nothing was sold that could be returned.
    en, ru = _RETURNS[program.on_return]
    yield say(
        f"points of a returned sale that are spent already {en}",
        f"уже потраченные бонусы возвращённой покупки {ru}",
    )


def _redemption(rule: RedemptionRule, language: Language) -> Iterator[str]:
    say = partial(tell, language)
    share = words.percent(rule.max_share, language)
    if rule.max_share:
        yield say(f"points may pay up to {share} of goods", f"бонусами можно оплатить до {share}")
    else:
        yield say("points may pay nothing", "бонусами ничего нельзя оплатить")
    if rule.legal:
        at = 0 if language == "en" else 1
        kinds = words.both(sorted(_LEGAL[kind][at] for kind in rule.legal), language)
        yield say(f"they never pay {kinds}", f"нельзя оплатить {kinds}")
    if rule.min_line_price:
        price = words.amount(rule.min_line_price, language)
        yield say(f"each unit costs at least {price}", f"единица товара стоит не меньше {price}")
    if rule.min_money:
        money = words.amount(rule.min_money, language)
        yield say(f"at least {money} is paid in money", f"деньгами платят не меньше {money}")
    first = _ORDERS[rule.order][0 if language == "en" else 1]
    yield say(f"spent first are {first}", f"сначала тратятся {first}")
    yield from _shared(rule, language)


def _shared(program: ProgramVersion | RedemptionRule, language: Language) -> Iterator[str]:
    yield _scope(program.scope, language)
    yield _goods(program.lines, language)
    if program.lines.when is not None:
        told = sentence(program.lines.when, language, of_line=True)
        yield tell(language, f"only lines where {told}", f"только строки, где {told}")
    if program.when is not None:
        told = sentence(program.when, language)
        yield tell(language, f"only if {told}", f"только если {told}")


def _scope(scope: Scope, language: Language) -> str:
    return _listing(
        language,
        (scope.channels, "works in the channels", "работает в каналах"),
        (scope.stores, "works in the stores", "работает в магазинах"),
        (scope.store_groups, "works in the store groups", "работает в группах магазинов"),
        (scope.exclude_stores, "not in the stores", "кроме магазинов"),
    )


def _goods(lines: LineFilter, language: Language) -> str:
    told = _listing(
        language,
        (lines.groups, "for the product groups", "для товарных групп"),
        (lines.products, "for the products", "для товаров"),
        (lines.exclude_groups, "but not for the product groups", "кроме товарных групп"),
        (lines.exclude_products, "but not for the products", "кроме товаров"),
    )
    if not lines.exclude_promo:
        return told
    promo = tell(language, "not for goods on promotion", "не для товаров по акции")
    return f"{told}; {promo}" if told else promo


def _listing(language: Language, *parts: tuple[frozenset[str], str, str]) -> str:
    return "; ".join(
        f"{tell(language, en, ru)} {_codes(codes, language)}" for codes, en, ru in parts if codes
    )


def _codes(codes: frozenset[str], language: Language) -> str:
    told = ", ".join(nsmallest(MAX_NAMED, codes))
    more = len(codes) - MAX_NAMED
    return told + tell(language, f" and {more} more", f" и ещё {more}") if more > 0 else told


def _rounding(program: ProgramVersion, language: Language) -> str:
    if isinstance(program.reward, Fixed | PerAmount):
        return ""  # Whole points by themselves.
    mode = _ROUNDING[program.rounding.mode][0 if language == "en" else 1]
    step = words.points(program.rounding.step, language, genitive=True)
    per = program.rounding.per == "line"
    return tell(
        language,
        f"rounded {mode}, to steps of {step}, {'line by line' if per else 'once a receipt'}",
        f"округление {mode}, с шагом {step}, {'по каждой строке' if per else 'по чеку'}",
    )


def _limits(program: ProgramVersion, language: Language) -> str:
    limits = (
        (program.limits.per_receipt, "{} a receipt", "{} за чек"),
        (program.limits.per_customer_day, "{} a customer and day", "{} клиенту в день"),
        (program.limits.budget, "{} in all", "{} всего"),
    )
    told = [
        tell(language, en, ru).format(words.points(limit, language, genitive=True))
        for limit, en, ru in limits
        if limit is not None
    ]
    if program.limits.times_per_customer_day is not None:
        times = words.counted(
            program.limits.times_per_customer_day, words.TIME, language, genitive=True
        )
        told.append(tell(language, f"{times} a customer and day", f"{times} клиенту в день"))
    return tell(language, "at most ", "не больше ") + ", ".join(told) if told else ""


def _stacking(program: ProgramVersion, language: Language) -> str:
    stacking = program.stacking
    if stacking.policy == "sum":
        return ""
    which = (
        tell(language, "the one that gives most", "та, что даёт больше")
        if stacking.policy == "max"
        else tell(language, "the first by priority", "первая по приоритету")
    )
    return tell(
        language,
        f"of the group {stacking.group} only one program gives, {which}",
        f"из группы {stacking.group} начисляет одна программа: {which}",
    )


def _validity(program: ProgramVersion | RedemptionRule, language: Language) -> str:
    begin = words.moment(program.valid_from, language)
    if program.valid_to is None:
        return tell(language, f"runs from {begin}", f"действует с {begin}")
    end = words.moment(program.valid_to, language)
    return tell(language, f"runs from {begin} to {end}", f"действует с {begin} до {end}")
