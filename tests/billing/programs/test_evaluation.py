"""Conditions and goods of many programs over many lines: the same answers, at little cost."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import timedelta
from typing import Any, ClassVar

from hypothesis import given, settings

from billing.programs.conditions import compile_condition, line_holds
from billing.programs.evaluation import Evaluation
from billing.programs.faults import Faults
from billing.programs.model import Leaf, LineFilter, Situation
from tests.billing.programs.baskets import awards, basket, line, percent, program, total
from tests.billing.programs.test_conditions import SITUATIONS, TREES


@settings(max_examples=300, deadline=timedelta(seconds=5))
@given(tree=TREES, situation=SITUATIONS)
def test_lines_asked_together_answer_as_each_alone(tree: object, situation: Situation) -> None:
    faults = Faults()
    condition = compile_condition(tree, "/lines/when", faults, of_line=True)
    if faults:
        return
    found = Evaluation(situation).lines_where(condition)
    assert [bool(found >> i & 1) for i in range(len(situation.basket.lines))] == [
        line_holds(condition, one) for one in situation.basket.lines
    ]


class Counted(int):
    """An amount that counts how often something is compared with it."""

    compared: ClassVar[int] = 0

    def __gt__(self, other: object) -> bool:
        Counted.compared += 1
        return isinstance(other, int) and int(self) > other


def test_a_comparison_is_made_once_a_line_whatever_the_number_of_programs() -> None:
    big = basket(*(line(number, "milk", number) for number in range(1, 201)))
    cheap = [Leaf("line.amount", "<", Counted(100_00)) for _ in range(20)]
    meant = [program(f"l{n}", percent(1), lines=LineFilter(when=leaf)) for n, leaf in
             enumerate(cheap)]  # fmt: skip
    some = [program(f"s{n}", percent(1), when=leaf) for n, leaf in enumerate(cheap)]
    given_points = awards([*meant, *some], big)
    assert len(given_points) == 40
    assert [sum(1 for points in award.by_line if points) for award in given_points] == (
        [99] * 20 + [200] * 20
    )
    assert 0 < Counted.compared <= 200


class Long(frozenset[str]):
    """Skus that nobody may go through."""

    def __iter__(self) -> Iterator[Any]:
        raise AssertionError("a program's products are gone through for a small receipt")


def test_a_program_on_many_products_costs_what_the_receipt_costs() -> None:
    skus = Long(f"p{n}" for n in range(10_000))
    some = [program(f"c{n}", percent(5), lines=LineFilter(products=skus)) for n in range(3)]
    bought = basket(line(1, "p7", 100), line(2, "bread", 100), line(3, "p9999", 100))
    assert total(some, bought) == 3 * 2 * 5_00
