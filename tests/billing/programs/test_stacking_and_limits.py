"""Programs beside each other, and what limits leave of them (DESIGN §7; R14, Y27, C9)."""

from __future__ import annotations

import pytest

from billing.programs.calculation import Trace
from billing.programs.limits import HOUSE
from billing.programs.model import FACTOR_UNIT, Limits, Multiplier, Policy, Stacking
from tests.billing.programs.baskets import (
    ANNA,
    awards,
    basket,
    fixed,
    line,
    percent,
    program,
    total,
)

BOUGHT = basket(line(1, "a", 100), line(2, "b", 300))


def grouped(policy: Policy, *of: tuple[str, int, int]) -> list:  # type: ignore[type-arg]
    """Programs of one group: (code, percent, priority)."""
    return [
        program(code, percent(value), stacking=Stacking("g", policy, priority))
        for code, value, priority in of
    ]


def given(programs: list, **more: object) -> dict[str, int]:  # type: ignore[type-arg]
    return {award.program: award.points for award in awards(programs, BOUGHT, **more)}  # type: ignore[arg-type]


def test_sum_gives_all() -> None:
    assert given(grouped("sum", ("x", 5, 0), ("y", 10, 0))) == {"x": 20_00, "y": 40_00}


def test_r14_y27_max_gives_the_larger() -> None:
    assert given(grouped("max", ("x", 5, 9), ("y", 10, 0))) == {"y": 40_00}


def test_a_tie_of_max_goes_to_the_higher_priority_then_to_the_first_code() -> None:
    assert given(grouped("max", ("x", 5, 0), ("y", 5, 1))) == {"y": 20_00}
    assert given(grouped("max", ("y", 5, 1), ("x", 5, 1))) == {"x": 20_00}


def test_priority_gives_the_first_that_gives_anything() -> None:
    first, second = grouped("priority", ("x", 5, 9), ("y", 10, 1))
    assert given([second, first]) == {"x": 20_00}
    nothing = program("x", fixed(5), only=["z"], stacking=Stacking("g", "priority", 9))
    assert given([nothing, second]) == {"y": 40_00}


def test_groups_do_not_know_each_other() -> None:
    alone = program("z", percent(1), stacking=Stacking("other", "max", 0))
    assert given([*grouped("max", ("x", 5, 0), ("y", 10, 0)), alone]) == {"y": 40_00, "z": 4_00}


def test_a_multiplier_multiplies_what_was_given_not_what_lost() -> None:
    double = program("twice", Multiplier(2 * FACTOR_UNIT, frozenset(("x", "y"))))
    assert given([*grouped("max", ("x", 5, 0), ("y", 10, 0)), double]) == {
        "y": 40_00,
        "twice": 40_00,
    }


def test_the_best_of_two_multipliers() -> None:
    base = program("base", percent(10))
    several = [
        program(
            f"times-{factor}",
            Multiplier(factor * FACTOR_UNIT, frozenset(("base",))),
            stacking=Stacking("action", "max", 0),
        )
        for factor in (2, 3)
    ]
    assert given([base, *several]) == {"base": 40_00, "times-3": 80_00}


def test_a_limit_per_receipt_is_split_over_the_lines() -> None:
    (award,) = awards([program("x", percent(10), limits=Limits(per_receipt=10_01))], BOUGHT)
    assert (award.points, award.by_line) == (10_01, (2_50, 7_51))


@pytest.mark.parametrize(("used", "points"), [(0, 40_00), (70_00, 30_00), (100_00, 0), (120_00, 0)])
def test_a_limit_per_customer_and_day_leaves_what_is_not_used(used: int, points: int) -> None:
    limited = program("x", percent(10), limits=Limits(per_customer_day=100_00))
    counter = {(ANNA.id, "day/x/2026-11-21"): used}
    assert total([limited], BOUGHT, used=counter) == points


@pytest.mark.parametrize(("used", "points"), [(0, 40_00), (2, 40_00), (3, 0), (4, 0)])
def test_c2_a_customer_gets_something_so_many_times_a_day(used: int, points: int) -> None:
    limited = program("x", percent(10), limits=Limits(times_per_customer_day=3))
    counter = {(ANNA.id, "times/x/2026-11-21"): used}
    assert total([limited], BOUGHT, used=counter) == points


def test_the_day_is_that_of_the_shop() -> None:
    limited = program("x", percent(10), limits=Limits(per_customer_day=100_00))
    counter = {(ANNA.id, "day/x/2026-11-21"): 100_00}
    later = basket(line(1, "a", 400), timezone="Asia/Kamchatka")  # It is 22 November there.
    assert total([limited], later, used=counter) == 40_00


def test_a_budget_is_of_all_customers_together() -> None:
    limited = program("x", percent(10), limits=Limits(budget=1000_00))
    trace: Trace = []
    assert total([limited], BOUGHT, used={(HOUSE, "budget/x"): 990_00}, trace=trace) == 10_00
    assert [one.code for one in trace if one.outcome == "reduced"] == ["reduced_budget"]
    assert total([limited], BOUGHT, used={(HOUSE, "budget/x"): 1000_00}) == 0


def test_what_a_limit_leaves_competes_not_what_was_calculated() -> None:
    """A program whose budget is spent does not keep another one from giving."""
    rich = program("x", percent(10), limits=Limits(budget=1), stacking=Stacking("g", "max", 0))
    poor = program("y", percent(1), stacking=Stacking("g", "max", 0))
    assert given([rich, poor], used={(HOUSE, "budget/x"): 1}) == {"y": 4_00}


def test_why_a_program_lost() -> None:
    trace: Trace = []
    awards(grouped("max", ("x", 5, 0), ("y", 10, 0)), BOUGHT, trace=trace)
    (lost,) = [one for one in trace if one.code == "stacking_lost"]
    assert (lost.program, lost.values) == ("x", {"winner": "y"})
