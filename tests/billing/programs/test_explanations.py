"""Explanations as people read them, in both languages: golden files beside.

`python -m tests.billing.programs.test_explanations` writes them anew; read the difference.
"""

from __future__ import annotations

import sys
from datetime import UTC, date, datetime
from pathlib import Path
from typing import get_args

import pytest
from msgspec.structs import replace

from billing.programs.calculation import Trace, calculate
from billing.programs.definition import compile_definition, read_definition
from billing.programs.examples import DEFINITIONS
from billing.programs.explain import CODES, because
from billing.programs.limits import HOUSE
from billing.programs.model import (
    FACTOR_UNIT,
    Brackets,
    Every,
    Expiry,
    Leaf,
    Limits,
    LineFilter,
    Member,
    Multiplier,
    PerAmount,
    ProgramVersion,
    RedemptionRule,
    Rounding,
    ScenarioRule,
    Scope,
    Situation,
    Some,
    Stacking,
)
from billing.programs.obstacles import because_of
from billing.programs.payment import Obstacle, ObstacleCode, payable
from billing.programs.portrait import portrait
from billing.programs.words import Language
from tests.billing.programs.baskets import ANNA, NOON, basket, fixed, line, percent, program

GOLDEN = Path(__file__).parent
LANGUAGES: tuple[Language, ...] = ("en", "ru")
BOUGHT = basket(
    line(1, "milk", 100, group="dairy", ancestry=("dairy", "food")),
    line(2, "bread", 33, promo=True),
    line(3, "gift-card", 500, excluded=True),
    line(4, "wine", 900, legal="alcohol"),
    line(5, "tobacco", 200, legal="tobacco"),
    line(6, "gift", 0),
    payments=(("card", 1733_00),),
)
SINCE = "2026-01-01T00:00:00+03:00"
EVENING = Every(
    (
        Leaf("receipt.total", ">=", 5000_00),
        Some((Leaf("customer.tags", "has", "vip"), Leaf("customer.age", ">=", 60))),
    )
)
BEST = Stacking("best", "max", 0)


def _scenario(code: str, on: str, known_before: int = 0) -> ProgramVersion:
    return program(code, fixed(50), scenario=ScenarioRule(on, known_before=known_before))


SALE = [
    program("all", percent(5)),
    program("one-point", PerAmount(100, 100_00), only=["milk"]),
    program("a-hundredth", percent(1), only=["bread"], limits=Limits(per_receipt=1)),
    program("evening", percent(5), when=EVENING),
    program("own-goods", percent(5), only=["cheese"]),
    program("gifts", percent(5), only=["gift"]),
    program("no-milk", percent(5), never=["milk"]),
    program("no-promo", percent(5), lines=LineFilter(exclude_promo=True)),
    program(
        "dear",
        percent(5),
        lines=LineFilter(frozenset(("food",)), when=Leaf("line.price", ">=", 1000_00)),
    ),
    program("by-sbp", percent(10), payment_types=frozenset(("sbp", "qr"))),
    program("whole", percent(1), only=["bread"], rounding=Rounding("down", 500, "receipt")),
    program("big-receipts", Brackets(((10_000_00, 10_000),))),
    program("best-3", percent(3), stacking=BEST),
    program("best-7", percent(7), stacking=BEST),
    program("cap", percent(50), limits=Limits(per_receipt=20_00)),
    program("none", percent(50), limits=Limits(per_receipt=0)),
    program("day", percent(50), limits=Limits(per_customer_day=20_00)),
    program("day-is-full", percent(50), limits=Limits(per_customer_day=10_00)),
    program("thrice", percent(5), limits=Limits(times_per_customer_day=3)),
    program("budget", percent(50), limits=Limits(budget=100_00)),
    program("budget-is-spent", percent(50), limits=Limits(budget=100_00)),
    program("twice", Multiplier(2 * FACTOR_UNIT, frozenset(("all",)))),
    program("twice-nothing", Multiplier(2 * FACTOR_UNIT, frozenset(("evening",)))),
    program("over", fixed(5), expires=Expiry(at=datetime(2026, 1, 1, tzinfo=UTC))),
    _scenario("first", "first_purchase"),
]
USED = {
    (ANNA.id, "day/day/2026-11-21"): 15_00,
    (ANNA.id, "day/day-is-full/2026-11-21"): 10_00,
    (ANNA.id, "times/thrice/2026-11-21"): 3,
    (HOUSE, "budget/budget"): 99_00,
    (HOUSE, "budget/budget-is-spent"): 100_00,
    (ANNA.id, "once/given/2026"): 1,
}
EVENTS: list[tuple[str, ProgramVersion, Member]] = [
    ("birthday", _scenario("unknown", "birthday"), ANNA),
    ("birthday", _scenario("not-now", "birthday"), replace(ANNA, birth_date=date(1990, 6, 1))),
    (
        "birthday",
        _scenario("too-late", "birthday", known_before=14),
        replace(ANNA, birth_date=date(1990, 11, 21), birth_date_since=NOON),
    ),
    ("birthday", _scenario("given", "birthday"), replace(ANNA, birth_date=date(1990, 11, 21))),
    ("birthday", _scenario("survey", "survey"), ANNA),
    ("birthday", _scenario("now", "birthday"), replace(ANNA, birth_date=date(1990, 11, 21))),
]
RULE = RedemptionRule(
    code="half",
    version=1,
    name="half",
    valid_from=datetime(2020, 1, 1, tzinfo=UTC),
    valid_to=None,
    scope=Scope(),
    lines=LineFilter(exclude_promo=True),
    max_share=50 * 10_000,
    min_line_price=1,
    min_money=1_00,
)
DEAR = LineFilter(
    frozenset(("food", "bread", "alcohol")),
    exclude_products=frozenset(("bread",)),
    when=Leaf("line.price", ">=", 1000_00),
)
PAYING = [
    RULE,
    replace(RULE, lines=DEAR, legal=frozenset(), min_money=2000_00),
    replace(RULE, max_share=0),
    replace(RULE, lines=LineFilter(), min_line_price=0, max_share=100 * 10_000, min_money=1700_00),
]


def found() -> Trace:
    trace: Trace = []
    # All of milk is paid with points.
    paid = [100_00, 0, 0, 0, 0, 0]
    calculate(SALE, Situation(BOUGHT, replace(ANNA, first_purchase=False)), paid, USED, trace)
    for event, given, member in EVENTS:
        happened = Situation(basket(), member, event, "2026")
        calculate([given], happened, (), USED, trace)
    return trace


def obstacles() -> list[Obstacle]:
    situation = Situation(BOUGHT, ANNA)
    return [one for rule in PAYING for one in payable([rule], situation).obstacles]


PORTRAITS = {
    name: compile_definition(name, 1, read_definition(body | {"name": name, "valid_from": SINCE}))
    for name, body in DEFINITIONS.items()
}


def told(language: Language) -> str:
    """Every finding, a line each."""
    lines = [
        f"{one.program}{f' line {one.line}' if one.line else ''}: {because(one, language)}"
        for one in found()
    ]
    for one in obstacles():
        where = f" line {one.line}" if one.line else ""
        lines.append(f"points{where}: {because_of(one, language)}")
    lines += [f"{name}: {portrait(program, language)}" for name, program in PORTRAITS.items()]
    return "\n".join(lines) + "\n"


def _file(language: Language) -> Path:
    return GOLDEN / f"explanations.{language}.txt"


def test_every_explanation_there_is_stands_in_the_golden_files() -> None:
    assert {one.code for one in found()} == CODES
    assert {one.code for one in obstacles()} == set(get_args(ObstacleCode))


@pytest.mark.parametrize("language", LANGUAGES)
def test_explanations_are_those_of_the_golden_file(language: Language) -> None:
    assert told(language) == _file(language).read_text("utf-8")


if __name__ == "__main__":
    for one in LANGUAGES:
        _file(one).write_text(told(one), "utf-8")
    sys.exit(0)


@pytest.mark.parametrize(("lines", "told"), [(1000, 2002), (1001, 2)])
def test_of_very_many_lines_only_the_whole_is_explained(lines: int, told: int) -> None:
    bought = basket(*(line(number, "bread", 10) for number in range(1, lines + 1)))
    programs = [program("all", percent(5)), program("milk", percent(5), only=["milk"])]
    trace: Trace = []
    calculate(programs, Situation(bought, ANNA), trace=trace)
    assert len(trace) == told
    assert [one.program for one in trace if one.line is None] == ["milk", "all"]
