"""What points may pay, and how it is laid over the lines: pure, exact, explained."""

from __future__ import annotations

from datetime import UTC, datetime
from fractions import Fraction
from typing import Any
from uuid import UUID

import pytest
from hypothesis import given
from hypothesis import strategies as st

from billing.programs.model import (
    UNIT,
    Basket,
    Leaf,
    Line,
    LineFilter,
    Member,
    RedemptionRule,
    Scope,
    Situation,
)
from billing.programs.obstacles import because_of, refusal
from billing.programs.payment import Payable, pay, payable

NOON = datetime(2026, 11, 21, 12, tzinfo=UTC)
PERCENT = 10_000


def line(number: int, amount: int, **other: Any) -> Line:
    group = other.pop("group", "food")
    return Line(number, f"sku-{number}", group, (group, "all"), amount, **other)


def situation(*lines: Line) -> Situation:
    basket = Basket("shop", "s1", None, "Europe/Moscow", NOON, lines)
    return Situation(basket, Member(UUID(int=1), tags=frozenset(("vip",))))


def rule(code: str = "half", **other: Any) -> RedemptionRule:
    other.setdefault("lines", LineFilter())
    return RedemptionRule(
        code=code, version=1, name=code, valid_from=NOON, valid_to=None, scope=Scope(), **other
    )


def told(found: Payable) -> list[tuple[int | None, str, str]]:
    return [(one.line, one.outcome, one.code) for one in found.obstacles]


def test_without_a_rule_all_but_excluded_and_legal_goods() -> None:
    found = payable(
        (),
        situation(
            line(1, 10_00),
            line(2, 20_00, excluded=True),
            line(3, 30_00, legal="tobacco"),
            line(4, 40_00, legal="alcohol", promo=True),
        ),
    )
    assert (found.by_line, found.total, found.rule) == ((10_00, 0, 0, 0), 10_00, None)
    assert found.order == "expiry"
    assert told(found) == [
        (2, "nothing", "excluded_product"),
        (3, "nothing", "legal"),
        (4, "nothing", "legal"),
    ]


def test_the_first_rule_whose_condition_holds_counts() -> None:
    vip = Leaf("customer.tags", "has", "vip")
    staff = Leaf("customer.tags", "has", "staff")
    all_of_it = rule("staff", when=staff, order="oldest")
    most = rule("vip", when=vip, max_share=80 * PERCENT, order="promo_first")
    some = rule("everybody", max_share=20 * PERCENT)
    basket = situation(line(1, 100_00))
    found = payable((all_of_it, most, some), basket)
    assert (found.rule, found.version, found.order, found.total) == ("vip", 1, "promo_first", 80_00)
    # Where none holds it is as if there were no rule.
    assert payable((all_of_it,), basket) == payable((), basket)


def test_t34_at_most_half_of_the_order() -> None:
    """r_keeper: 100 points, at most 50 % of the order, order of 120: at most 60."""
    found = payable([rule(max_share=50 * PERCENT)], situation(line(1, 70_00), line(2, 50_00)))
    assert found.total == 60_00
    assert pay(found, situation(line(1, 70_00), line(2, 50_00)).basket, 60_00) == [35_00, 25_00]


def test_the_share_is_of_what_may_be_paid_and_rounded_down() -> None:
    rules = [rule(max_share=30 * PERCENT)]
    found = payable(rules, situation(line(1, 9_99), line(2, 500_00, legal="tobacco")))
    assert found.total == 2_99
    assert told(found) == [(2, "nothing", "legal"), (None, "reduced", "max_share")]


def test_some_money_is_left_to_pay() -> None:
    """Of the whole receipt: what only money may buy is money."""
    rules = [rule(min_money=1_00)]
    found = payable(rules, situation(line(1, 50_00)))
    assert (found.total, told(found)) == (49_00, [(None, "reduced", "min_money")])
    beside = payable(rules, situation(line(1, 50_00), line(2, 5_00, legal="alcohol")))
    assert (beside.total, told(beside)) == (50_00, [(2, "nothing", "legal")])
    assert payable(rules, situation(line(1, 60))).total == 0


@pytest.mark.parametrize(
    ("amount", "quantity", "floor", "cap"),
    [
        (30_00, 3 * UNIT, 1, 29_97),
        (35_70, 357_000, 10_00, 32_13),
        (1_00, 333_333, 1, 99),
        (2, 3 * UNIT, 1, 0),
        (10_00, UNIT, 0, 10_00),
    ],
)
def test_a_unit_never_costs_less_than_its_least_price(
    amount: int, quantity: int, floor: int, cap: int
) -> None:
    found = payable([rule(min_line_price=floor)], situation(line(1, amount, quantity=quantity)))
    assert found.by_line == (cap,)
    assert (amount - cap) * UNIT >= min(floor * quantity, amount * UNIT)
    assert told(found) == ([(1, "reduced" if cap else "nothing", "min_line_price")] * bool(floor))


def test_which_lines_a_rule_is_for() -> None:
    lines = LineFilter(
        groups=frozenset(("all",)),
        exclude_groups=frozenset(("gifts",)),
        exclude_promo=True,
        when=Leaf("line.price", ">=", 10_00),
    )
    found = payable(
        [rule(lines=lines)],
        situation(
            line(1, 20_00, price=20_00),
            line(2, 20_00, price=20_00, promo=True),
            line(3, 20_00, price=20_00, group="gifts"),
            line(4, 20_00, price=5_00, quantity=4 * UNIT),
            Line(5, "card", "cards", ("cards",), 20_00, price=20_00),
            line(6, 20_00, price=20_00, excluded=True),
        ),
    )
    assert found.by_line == (20_00, 0, 0, 0, 0, 0)
    assert [code for _, _, code in told(found)] == [
        "promo_line",
        "excluded_goods",
        "line_condition",
        "other_goods",
        "excluded_product",
    ]


@pytest.mark.parametrize(
    ("legal", "caps"),
    [((), (10, 20)), (("tobacco",), (0, 20)), (("tobacco", "alcohol"), (0, 0))],
)
def test_legal_goods_by_preset(legal: Any, caps: tuple[int, int]) -> None:
    found = payable(
        [rule(legal=frozenset(legal))],
        situation(line(1, 10, legal="tobacco"), line(2, 20, legal="alcohol")),
    )
    assert found.by_line == caps


def test_what_a_capped_line_cannot_take_goes_to_the_others() -> None:
    """By value 50 + 25 + 25 of 200 + 100 + 100; the first may take 20 alone."""
    basket = situation(line(1, 200), line(2, 100), line(3, 100)).basket
    assert pay(Payable((20, 100, 100), 220), basket, 100) == [20, 40, 40]
    assert pay(Payable((20, 45, 100), 165), basket, 120) == [20, 45, 55]
    assert pay(Payable((20, 30, 100), 150), basket, 150) == [20, 30, 100]


def test_c20_a_line_of_no_quantity_is_paid_with_nothing() -> None:
    basket = situation(line(1, 0, quantity=0), line(2, 5_00))
    found = payable((), basket)
    assert pay(found, basket.basket, 5_00) == [0, 5_00]


def test_c22_t41_all_is_paid_to_the_last_hundredth() -> None:
    """erpnext#31509, odoo#237624: 100.60, and 9.99 twice at 100 %: exactly nothing is left."""
    for lines in ([line(1, 100_60)], [line(1, 9_99), line(2, 9_99)]):
        found = payable((), situation(*lines))
        paid = pay(found, situation(*lines).basket, found.total)
        assert [one.amount - part for one, part in zip(lines, paid, strict=True)] == [0] * len(
            lines
        )


@pytest.mark.parametrize("points", [10_00, 33_33, 50_00])
def test_c26_t42_a_wallet_pays_what_it_holds(points: int) -> None:
    """odoo#278568, #269263, #244735: gross amounts, so no tax comes back a hundredth off."""
    basket = situation(line(1, 11_80), line(2, 21_53), line(3, 66_67))
    assert sum(pay(payable((), basket), basket.basket, points)) == points


def test_c27_1000_over_three_lines_is_1000() -> None:
    """IRP#2168: a distribution gave 999.99."""
    basket = situation(*(line(n, 1000_00) for n in (1, 2, 3)))
    paid = pay(payable((), basket), basket.basket, 1000_00)
    assert paid == [333_34, 333_33, 333_33]


rules = st.builds(
    rule,
    max_share=st.integers(0, 100 * PERCENT),
    min_line_price=st.integers(0, 300),
    min_money=st.integers(0, 10_000),
    legal=st.sets(st.sampled_from(("tobacco", "alcohol"))).map(frozenset),
    lines=st.builds(LineFilter, exclude_promo=st.booleans()),
)
amounts = st.one_of(st.integers(0, 3), st.integers(0, 100_000))
baskets = st.lists(
    st.tuples(
        amounts,
        st.booleans(),
        st.sampled_from((None, None, "tobacco", "alcohol")),
        st.sampled_from((UNIT, 3 * UNIT, 357_000, 2_357_000)),
    ),
    min_size=1,
    max_size=12,
).map(
    lambda rows: situation(
        *(
            line(n, amount, promo=promo, legal=legal, quantity=quantity)
            for n, (amount, promo, legal, quantity) in enumerate(rows, 1)
        )
    )
)


@given(st.lists(rules, max_size=1), baskets, st.integers(0, 100), st.randoms())
def test_c28_parts_add_up_within_every_cap_in_any_order(
    found: list[RedemptionRule], one: Situation, per_cent: int, random: Any
) -> None:
    """odoo PR#288853: the lines of a discount add up to it; shuffling changes no line's part."""
    allowed = payable(found, one)
    assert 0 <= allowed.total <= sum(allowed.by_line)
    assert all(
        0 <= cap <= n.amount for cap, n in zip(allowed.by_line, one.basket.lines, strict=True)
    )
    points = allowed.total * per_cent // 100
    paid = pay(allowed, one.basket, points)
    assert sum(paid) == points
    assert all(0 <= part <= cap for part, cap in zip(paid, allowed.by_line, strict=True))

    shuffled = list(one.basket.lines)
    random.shuffle(shuffled)
    other = situation(*shuffled)
    again = pay(payable(found, other), other.basket, points)
    by_number = {n.number: part for n, part in zip(shuffled, again, strict=True)}
    assert [by_number[n.number] for n in one.basket.lines] == paid


@given(
    st.lists(st.tuples(st.integers(1, 10_000), st.integers(0, 100)), min_size=1, max_size=10),
    st.integers(0, 100),
)
def test_lines_that_are_not_full_are_paid_the_same_share(
    rows: list[tuple[int, int]], per_cent: int
) -> None:
    """B12: by value, to less than a hundredth; a full line is never paid a larger share."""
    basket = situation(*(line(n, amount) for n, (amount, _) in enumerate(rows, 1))).basket
    caps = tuple(amount * part // 100 for amount, part in rows)
    points = sum(caps) * per_cent // 100
    paid = pay(Payable(caps, sum(caps)), basket, points)
    for (a, _), paid_a, cap_a in zip(rows, paid, caps, strict=True):
        for (b, _), paid_b in zip(rows, paid, strict=True):
            if paid_a < cap_a:
                assert Fraction(paid_b, b) - Fraction(paid_a, a) < Fraction(1, a) + Fraction(1, b)


def test_more_than_the_lines_take_is_a_fault_of_ours() -> None:
    with pytest.raises(ValueError, match="11 points cannot pay lines that take 10"):
        pay(Payable((10,), 10), situation(line(1, 20)).basket, 11)


def test_obstacles_in_words() -> None:
    lines = LineFilter(exclude_groups=frozenset(("gifts",)), when=Leaf("line.price", ">=", 10_00))
    found = payable(
        [rule(lines=lines, min_line_price=50, max_share=33_3333)],
        situation(
            line(1, 20_00, price=20_00),
            line(2, 20_00, price=20_00, legal="tobacco"),
            line(3, 20_00, price=20_00, legal="tobacco"),
            line(4, 20_00, price=20_00, group="gifts"),
            line(5, 5_00, price=5_00),
        ),
    )
    assert refusal(found) == (
        "points may pay at most 6.66 of this receipt. Line 1: A unit must still cost at least 0.50."
        " Lines 2, 3: Points may not pay for tobacco. Line 4: Points may not pay for these goods."
        " Line 5: Points may pay for goods only if the price is at least 10."
        " Points may pay at most 33.3333% of the goods they may pay for"
    )
    assert [because_of(one, "ru") for one in found.obstacles] == [
        "Единица товара должна стоить не меньше 0,50.",
        "Табак нельзя оплачивать бонусами.",
        "Табак нельзя оплачивать бонусами.",
        "Этот товар нельзя оплачивать бонусами.",
        "Бонусами можно оплачивать товары при условии: цена не меньше 10.",
        "Бонусами можно оплатить не больше 33,3333\u00a0% стоимости товаров, "
        "для которых разрешена такая оплата.",
    ]


def test_a_long_refusal_stays_readable() -> None:
    found = payable((), situation(*(line(n, 1_00, legal="alcohol") for n in range(1, 31))))
    assert refusal(found) == (
        "points may pay nothing of this receipt. "
        "Lines 1, 2, 3, 4, 5, 6, 7, 8, 9, 10 and 20 more: Points may not pay for alcohol"
    )
