"""Whatever the programs, the receipt and the customer: parts add up, nothing exceeds its limit,
and order does not matter (C26-C28)."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from datetime import UTC, datetime
from typing import Any, TypeVar
from uuid import UUID

from hypothesis import given, settings
from hypothesis import strategies as st
from msgspec.structs import replace

from billing.programs.calculation import Trace, calculate
from billing.programs.explain import Reason
from billing.programs.limits import HOUSE, Used, counters_of
from billing.programs.model import (
    Award,
    Basket,
    Line,
    Member,
    Multiplier,
    ProgramVersion,
    RedemptionRule,
    Situation,
)
from billing.programs.payment import Payable, pay, payable
from tests.billing.programs.baskets import awards
from tests.billing.programs.written import GROUPS, PAYMENTS, compiled, compiled_rule, giving, paying

T = TypeVar("T")
ZONES = ("Europe/Moscow", "America/Santiago", "Atlantic/Azores", "Pacific/Kiritimati")
"""In Santiago and on the Azores the clock jumps over midnight, or strikes it twice."""
MOMENTS = st.datetimes(datetime(2027, 1, 1), datetime(2028, 12, 31), timezones=st.just(UTC))  # noqa: DTZ001
PROGRAMS = giving().map(compiled)


@st.composite
def baskets(draw: st.DrawFn) -> Basket:
    lines = [
        Line(
            number,
            f"sku-{draw(st.integers(1, 3))}",
            group := draw(st.sampled_from(GROUPS)),
            (group, "all"),
            draw(st.one_of(st.integers(0, 300_000), st.sampled_from([0, 1, 10_00, 33_33]))),
            draw(st.booleans()),
            draw(st.integers(0, 9)) == 0,
            draw(st.integers(0, 5_000_000)),
            draw(st.integers(0, 30_00)),
            draw(st.sampled_from([None, None, "tobacco"])),
        )
        for number in range(1, draw(st.integers(1, 8)) + 1)
    ]
    payments = st.tuples(st.sampled_from(PAYMENTS), st.integers(0, 300_000))
    return Basket(
        "shop",
        "m1",
        None,
        draw(st.sampled_from(ZONES)),
        draw(MOMENTS),
        tuple(lines),
        tuple(draw(st.lists(payments, max_size=3))),
    )


MEMBERS = st.builds(
    Member,
    st.just(UUID(int=1)),
    st.frozensets(st.sampled_from(["staff", "vip"])),
    first_purchase=st.sampled_from([None, True, False]),
)
SITUATIONS = st.builds(Situation, baskets(), MEMBERS)


class Sale:
    """A situation, what points pay of it, and how much of the limits is used already."""

    def __init__(
        self,
        running: list[ProgramVersion],
        situation: Situation,
        rule: RedemptionRule | None,
        share: int,
        spent: int,
    ) -> None:
        self.running = running
        self.situation = situation
        self.allowed: Payable = payable([rule] if rule else [], situation)
        self.points = self.allowed.total * share // 100
        self.used: Used = {
            (one.customer_id, one.name): one.limit * spent // 100
            for program in running
            for one in counters_of(program, situation)
        }

    @property
    def paid(self) -> list[int]:
        return pay(self.allowed, self.situation.basket, self.points)

    def awards(self, trace: Trace | None = None) -> tuple[Award, ...]:
        return awards(
            self.running,
            self.situation.basket,
            paid=self.paid,
            member=self.situation.member,
            used=self.used,
            trace=trace,
        )


SALES = st.builds(
    Sale,
    PROGRAMS,
    SITUATIONS,
    st.none() | paying().map(compiled_rule),
    st.integers(0, 100),
    st.sampled_from([0, 0, 70, 99, 100]),
)


@settings(max_examples=120, deadline=None)
@given(SALES)
def test_c26_c28_parts_add_up(sale: Sale) -> None:
    """Each award is the sum of its lines and of its parts, within all limits of its program."""
    by_code = {one.code: one for one in sale.running}
    for award in sale.awards():
        assert award.points == sum(award.by_line) == sum(part.points for part in award.parts) > 0
        for part in award.parts:
            assert part.points == sum(part.by_line)
            assert min(part.by_line) >= 0
            begins = part.available_from or sale.situation.basket.occurred_at
            assert part.expires_at is None or part.expires_at > begins
        program = by_code[award.program]
        assert award.points <= (program.limits.per_receipt or award.points)
        for counter in counters_of(program, sale.situation):
            more = 1 if counter.times else award.points
            assert sale.used[counter.customer_id, counter.name] + more <= counter.limit
        for line, points in zip(sale.situation.basket.lines, award.by_line, strict=True):
            assert points == 0 or program.lines.takes(line)


@settings(max_examples=100, deadline=None)
@given(SALES, st.permutations(range(8)))
def test_the_order_of_programs_lines_and_payments_does_not_matter(
    sale: Sale, order: list[int]
) -> None:
    basket = sale.situation.basket
    first_trace: Trace = []
    first = [_by_number(one, basket) for one in sale.awards(first_trace)]
    sale.running = _in(order, sale.running)
    lines, payments = _in(order, basket.lines), _in(order, basket.payments)
    other = replace(basket, lines=tuple(lines), payments=tuple(payments))
    sale.situation = replace(sale.situation, basket=other)
    sale.allowed = replace(
        sale.allowed,
        by_line=tuple(sale.allowed.by_line[basket.lines.index(line)] for line in lines),
    )
    second_trace: Trace = []
    second = [_by_number(one, other) for one in sale.awards(second_trace)]
    assert first == second
    assert _findings(first_trace) == _findings(second_trace)


@settings(max_examples=100, deadline=None)
@given(SALES)
def test_an_explained_calculation_is_the_same_and_stacks_as_it_says(sale: Sale) -> None:
    """Neither the index by goods, nor the explanation, nor counters of others and of other days
    change what is given; of a group only what its policy lets give does."""
    trace: Trace = []
    given = sale.awards(trace)
    assert sale.awards() == given
    strangers = {(UUID(int=9), name): 10**9 for owner, name in sale.used if owner != HOUSE}
    more = {**sale.used, **strangers, (UUID(int=1), "day/p0/1999-01-01"): 10**9}
    assert calculate(sale.running, sale.situation, sale.paid, more) == given

    assert {one.program for one in trace} == {one.code for one in sale.running}
    gave = {one.program: one.values["points"] for one in trace if _gave(one) and one.line is None}
    assert gave == {award.program: award.points for award in given}
    by_code = {one.code: one for one in sale.running}
    groups = Counter(
        (program.stacking.group, isinstance(program.reward, Multiplier))
        for program in map(by_code.__getitem__, gave)
        if program.stacking.policy != "sum"
    )
    assert set(groups.values()) <= {1}
    for lost in trace:
        loser, winner = by_code[lost.program], by_code.get(str(lost.values.get("winner")))
        if winner is not None and winner.stacking.policy == "priority":
            assert winner.stacking.priority >= loser.stacking.priority
            assert winner.stacking.group == loser.stacking.group


def _in(order: list[int], items: Sequence[T]) -> list[T]:
    return [items[i] for i in order if i < len(items)]


def _gave(reason: Reason) -> bool:
    return reason.outcome == "gave"


def _findings(trace: Trace) -> list[Any]:
    return sorted(
        (one.program, one.line or 0, one.outcome, one.code, str(sorted(one.values.items())))
        for one in trace
    )


def _by_number(award: Award, bought: Basket) -> tuple[str, dict[int, int], list[Any]]:
    by_line = {
        line.number: points for line, points in zip(bought.lines, award.by_line, strict=True)
    }
    lives = [(part.points, part.available_from, part.expires_at) for part in award.parts]
    return award.program, by_line, lives
