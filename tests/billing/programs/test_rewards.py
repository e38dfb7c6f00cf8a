"""Each reward, and the published cases about them (spec/cases.md T7, T12, T19, T24, T25, T53)."""

from __future__ import annotations

import pytest
from msgspec.structs import replace

from billing.common.money import MAX_AMOUNT
from billing.programs.calculation import TooManyPoints
from billing.programs.model import (
    FACTOR_UNIT,
    Brackets,
    Leaf,
    Multiplier,
    PerAmount,
    PerUnit,
    ProgramVersion,
    Rounding,
)
from tests.billing.programs.baskets import (
    awards,
    basket,
    fixed,
    line,
    per_unit,
    percent,
    program,
    total,
)

# T7: items 12 (red, SKU 123) and 100 (blue, SKU 000), delivery 40; points per unit of money.
T7 = basket(line(1, "123", 12), line(2, "000", 100), line(3, "delivery", 40))


def money(code: str, points: int, **more: object) -> ProgramVersion:
    """`points` for every unit of money."""
    return program(code, PerAmount(points * 100, 100), **more)


def times(code: str, factor: int, *of: str, **more: object) -> ProgramVersion:
    return program(code, Multiplier(factor * FACTOR_UNIT, frozenset(of)), **more)


def total_at_least(amount: int) -> Leaf:
    return Leaf("receipt.total", ">=", amount * 100)


def test_t7a_points_per_unit_of_money() -> None:
    assert total([money("four", 4)], T7) == 608_00


@pytest.mark.parametrize(
    ("never", "points"), [(["000"], 208), (["123"], 560), (["123", "delivery"], 400)]
)
def test_t7b_excluded_goods_earn_nothing(never: list[str], points: int) -> None:
    assert total([money("four", 4, never=never)], T7) == points * 100


def test_t7c_two_rules_add_up() -> None:
    assert total([money("four", 4), money("ten", 10)], T7) == 2128_00
    assert total([money("four", 4), program("sku", fixed(100), only=["123"])], T7) == 708_00


def test_t7d_a_multiplier_and_a_minimum_order() -> None:
    assert total([money("four", 4), times("three", 3, "four", only=["123"])], T7) == 704_00
    assert total([money("four", 4, when=total_at_least(100))], T7) == 608_00
    assert total([money("four", 4, when=total_at_least(300))], T7) == 0


def test_t7e_multipliers_of_several_programs() -> None:
    programs = [
        money("four", 4),
        money("ten", 10),
        times("red", 3, "four", "ten", only=["123"]),
        times("blue", 5, "four", "ten", only=["000"]),
        program("sku", fixed(200), only=["000"]),
    ]
    assert total(programs, T7) == 8264_00


def test_t12_a_gross_base_counts_what_points_pay() -> None:
    bought = basket(line(1, "a", 100))
    six = PerAmount(600, 100)
    assert total([program("six", six, base="gross")], bought, paid=[50_00]) == 600_00
    assert total([program("six", six)], bought, paid=[50_00]) == 300_00


def test_t25_points_for_whole_steps_of_money() -> None:
    ten = program("ten", PerAmount(100, 1000))
    assert total([ten], basket(line(1, "a", 105))) == 10_00
    # Steps of the receipt, not of each line: 5 + 5 make one.
    assert total([ten], basket(line(1, "a", 5), line(2, "b", 5))) == 1_00
    by_line = program("ten", PerAmount(100, 1000), rounding=Rounding("down", 1, "line"))
    assert total([by_line], basket(line(1, "a", 5), line(2, "b", 5))) == 0


def test_t53_only_the_money_of_a_payment_type_counts() -> None:
    sbp = program("sbp", percent(10), payment_types=frozenset(("sbp",)))
    paid = (("sbp", 600_00), ("cash", 400_00))
    assert total([sbp], basket(line(1, "a", 1000), payments=paid)) == 60_00
    assert total([sbp], basket(line(1, "a", 1000), payments=(("cash", 1000_00),))) == 0
    assert total([sbp], basket(line(1, "a", 1000))) == 0


def test_points_per_unit_sold_also_of_weighed_goods() -> None:
    assert total([program("unit", per_unit(3))], basket(line(1, "a", 50, quantity=4))) == 12_00
    weighed = basket(replace(line(1, "a", 50), quantity=357_000))
    assert total([program("unit", per_unit(3))], weighed) == 1_07


def test_a_bracket_is_of_the_whole_receipt_before_points() -> None:
    rates = Brackets(((0, 10_000), (500_00, 20_000), (1000_00, 50_000)))
    by_total = program("brackets", rates, only=["a"])
    assert total([by_total], basket(line(1, "a", 100))) == 1_00
    assert total([by_total], basket(line(1, "a", 100), line(2, "b", 400))) == 2_00
    assert total([by_total], basket(line(1, "a", 100), line(2, "b", 900)), paid=[50_00, 0]) == 2_50
    from_500 = program("brackets", Brackets(((500_00, 20_000),)))
    assert total([from_500], basket(line(1, "a", 499))) == 0


def test_fixed_points_are_given_once_and_belong_to_the_lines_by_value() -> None:
    (award,) = awards([program("gift", fixed(10))], basket(line(1, "a", 30), line(2, "b", 10)))
    assert award.by_line == (7_50, 2_50)


@pytest.mark.parametrize("only", [[], ["a"]])
@pytest.mark.parametrize("order", [(1, 2, 3), (3, 1, 2), (2, 3, 1)])
def test_c27_what_splitting_leaves_goes_to_the_first_line_by_number(
    only: list[str], order: tuple[int, ...]
) -> None:
    """However the till lists them, with or without an index of goods."""
    bought = basket(*(line(number, "a", 10) for number in order))
    (award,) = awards([program("p", fixed(10), only=only)], bought)
    assert dict(zip(order, award.by_line, strict=True)) == {1: 3_34, 2: 3_33, 3: 3_33}


def test_rounding_per_receipt_and_per_line() -> None:
    bought = basket(line(1, "a", 19), line(2, "b", 19))
    whole = Rounding("down", 100, "receipt")
    assert total([program("p", percent(10), rounding=whole)], bought) == 3_00
    each = Rounding("down", 100, "line")
    assert total([program("p", percent(10), rounding=each)], bought) == 2_00
    up = Rounding("up", 100, "line")
    assert total([program("p", percent(10), rounding=up)], bought) == 4_00
    half_even = Rounding("half_even", 100, "receipt")
    assert total([program("p", percent(10), rounding=half_even)], basket(line(1, "a", 25))) == 2_00
    half_up = Rounding("half_up", 100, "receipt")
    assert total([program("p", percent(10), rounding=half_up)], basket(line(1, "a", 25))) == 3_00


def test_c24_no_float_noise_in_a_share_of_money() -> None:
    """290 × 10 % is 29.00, not 28.99 or 29.90."""
    assert total([program("p", percent(10))], basket(line(1, "a", 290))) == 29_00


@pytest.mark.parametrize(
    ("told", "paid", "points"),
    [
        ([("sbp", 600_00), ("cash", 400_00)], 0, 60_00),
        ([("sbp", 600_00)], 0, 60_00),
        ([("sbp", 1), ("cash", 1)], 0, 0),
        ([("sbp", 5000_00), ("cash", 1)], 0, 100_00),
        ([("sbp", 500_00)], 500_00, 50_00),
        ([("sbp", 500_00), ("points", 500_00)], 500_00, 50_00),
        ([("sbp", 1000_00)], 1000_00, 0),
    ],
)
def test_t53_money_of_a_type_is_a_part_of_all_that_is_to_pay(
    told: list[tuple[str, int]], paid: int, points: int
) -> None:
    """Also when the till does not tell all payments, or tells points among them."""
    by_sbp = program("p", percent(10), payment_types=frozenset(("sbp",)))
    bought = basket(line(1, "a", 1000), payments=tuple(told))
    assert total([by_sbp], bought, paid=[paid]) == points


def test_nobody_earns_more_than_an_amount_can_be() -> None:
    dear = program("p", PerUnit(MAX_AMOUNT))
    assert total([dear], basket(line(1, "a", 1))) == MAX_AMOUNT
    with pytest.raises(TooManyPoints) as refused:
        awards([dear, program("q", percent(1))], basket(line(1, "a", 1)))
    assert refused.value.code == "balance_limit"
