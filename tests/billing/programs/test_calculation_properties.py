"""Whatever the programs and the receipt: parts add up, and order does not matter (C26-C28)."""

from __future__ import annotations

import random
from typing import Any

from hypothesis import given, settings
from hypothesis import strategies as st
from msgspec.structs import replace

from billing.programs.model import (
    FACTOR_UNIT,
    Availability,
    Award,
    Basket,
    Brackets,
    Fixed,
    Instalments,
    Limits,
    LineFilter,
    Multiplier,
    PerAmount,
    Percent,
    PerUnit,
    Policy,
    ProgramVersion,
    Rounding,
    Situation,
    Stacking,
)
from billing.programs.payment import pay, payable
from tests.billing.programs.baskets import ANNA, awards, basket, line, program

_GOODS = ("a", "b", "c", "d")
_plain = st.one_of(
    st.builds(Percent, st.integers(1, 3_000_000)),
    st.builds(Fixed, st.integers(1, 100_000)),
    st.builds(PerAmount, st.integers(1, 10_000), st.integers(1, 100_000)),
    st.builds(PerUnit, st.integers(1, 10_000)),
    st.builds(
        lambda starts, rates: Brackets(tuple(zip(sorted(starts), rates, strict=False))),
        st.sets(st.integers(0, 500_000), min_size=1, max_size=4),
        st.lists(st.integers(1, 2_000_000), min_size=4, max_size=4),
    ),
)
_multiplier = st.builds(
    Multiplier,
    st.integers(FACTOR_UNIT + 1, 10 * FACTOR_UNIT),
    st.frozensets(st.sampled_from([f"p{n}" for n in range(6)]), min_size=1),
)
_goods = st.frozensets(st.sampled_from(_GOODS), max_size=3)


@st.composite
def programs(draw: st.DrawFn) -> list[ProgramVersion]:
    made = []
    policies: dict[str, Policy] = {
        group: draw(st.sampled_from(["sum", "max", "priority"])) for group in "gh"
    }
    for number in range(draw(st.integers(1, 6))):
        group = draw(st.sampled_from("gh"))
        instalments = draw(st.none() | st.builds(Instalments, st.integers(2, 5), st.just("P1M")))
        made.append(
            program(
                f"p{number}",
                draw(st.one_of(_plain, _multiplier)),
                lines=LineFilter(draw(_goods), frozenset(), draw(_goods), frozenset()),
                base=draw(st.sampled_from(["gross", "net_of_points"])),
                rounding=Rounding(
                    draw(st.sampled_from(["down", "up", "half_up", "half_even"])),
                    draw(st.sampled_from([1, 10, 100, 5000])),
                    draw(st.sampled_from(["receipt", "line"])),
                ),
                stacking=Stacking(group, policies[group], draw(st.integers(0, 2))),
                limits=Limits(per_receipt=draw(st.none() | st.integers(1, 50_000))),
                available=None if instalments is None else Availability(instalments=instalments),
            )
        )
    return made


@st.composite
def baskets(draw: st.DrawFn) -> Basket:
    lines = [
        replace(
            line(number, draw(st.sampled_from(_GOODS)), 0),
            amount=draw(st.integers(0, 300_000)),
            quantity=draw(st.integers(0, 5_000_000)),
        )
        for number in range(1, draw(st.integers(1, 8)) + 1)
    ]
    return basket(*lines)


def _paid(bought: Basket, share: float) -> list[int]:
    allowed = payable((), Situation(bought, ANNA))
    return pay(allowed, bought, int(allowed.total * share))


@settings(max_examples=300, deadline=None)
@given(programs(), baskets(), st.floats(0, 1))
def test_c26_c28_parts_add_up(running: list[ProgramVersion], bought: Basket, share: float) -> None:
    for award in awards(running, bought, paid=_paid(bought, share)):
        assert award.points == sum(award.by_line) == sum(part.points for part in award.parts) > 0
        for part in award.parts:
            assert part.points == sum(part.by_line)
            assert min(part.by_line) >= 0
        limit = next(one for one in running if one.code == award.program).limits.per_receipt
        assert limit is None or award.points <= limit


@settings(max_examples=300, deadline=None)
@given(programs(), baskets(), st.floats(0, 1), st.randoms(use_true_random=False))
def test_the_order_of_programs_and_lines_does_not_matter(
    running: list[ProgramVersion], bought: Basket, share: float, shuffle: random.Random
) -> None:
    turned = list(running)
    shuffle.shuffle(turned)
    order = list(range(len(bought.lines)))
    shuffle.shuffle(order)
    other = replace(bought, lines=tuple(bought.lines[i] for i in order))
    first = awards(running, bought, paid=_paid(bought, share))
    second = awards(turned, other, paid=_paid(other, share))
    assert [_by_number(one, bought) for one in first] == [_by_number(one, other) for one in second]


@settings(max_examples=100, deadline=None)
@given(programs(), baskets(), st.floats(0, 1))
def test_an_explained_calculation_is_the_same(
    running: list[ProgramVersion], bought: Basket, share: float
) -> None:
    paid = _paid(bought, share)
    trace: list[Any] = []
    assert awards(running, bought, paid=paid) == awards(running, bought, paid=paid, trace=trace)
    assert {one.program for one in trace} == {one.code for one in running}


def _by_number(award: Award, bought: Basket) -> tuple[str, dict[int, int]]:
    by_line = {
        line.number: points for line, points in zip(bought.lines, award.by_line, strict=True)
    }
    return award.program, by_line
