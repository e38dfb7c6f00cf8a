"""Deferred revenue to the unit, as published (ledger-cases D1; cases T38, T40, T56)."""

from __future__ import annotations

from decimal import Decimal
from typing import Final

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from billing.revenue.model import (
    Cohort,
    Points,
    Policy,
    Standing,
    allocate,
    entries,
    movements,
    rounded,
    standing,
)

UNIT: Final = 100
"""A unit of money, in which the examples are published."""


def policy(expected: str, price: str = "1", **more: int) -> Policy:
    return Policy(
        expected_redemption=Decimal(expected),
        point_price=Decimal(price),
        allocation_step=more.get("allocation_step", UNIT),
        step=more.get("step", UNIT),
    )


def revenue_of(allocated: int, issued: int, redeemed: int, expected: Policy) -> tuple[int, int]:
    """Cumulative revenue and liability, in units."""
    points = Points(issued * UNIT, 0, redeemed * UNIT, 0)
    stands = standing(allocated * UNIT, points, expected)
    return (stands.revenue + stands.breakage) // UNIT, stands.liability // UNIT


def split_of(sales: int, points: int, how: Policy) -> int:
    return allocate(sales * UNIT, {"p": points * UNIT}, {"p": how})["p"] // UNIT


def test_d1_ifrs_15_example_52_and_t56() -> None:
    points = split_of(100_000, 10_000, policy("0.95"))
    assert (100_000 - points, points) == (91_324, 8_676)
    first, left = revenue_of(points, 10_000, 4_500, policy("0.95"))
    assert (first, left) == (4_110, 4_566)
    both, left = revenue_of(points, 10_000, 8_500, policy("0.97"))
    assert (both - first, left) == (3_493, 1_073)


def test_d1_kpmg_example_10_and_t38() -> None:
    """Its split is rounded to thousands: 91,000 and 9,000."""
    points = split_of(100_000, 10_000, policy("0.97", allocation_step=1000 * UNIT))
    assert points == 9_000
    second, _ = revenue_of(points, 10_000, 4_500, policy("0.97"))
    third, left = revenue_of(points, 10_000, 8_500, policy("0.99"))
    other, _ = revenue_of(points, 10_000, 8_500, policy("0.92"))
    assert (second, third - second, left, other - second) == (4_175, 3_552, 1_273, 4_140)


def test_d1_kpmg_example_10_to_the_hundredth() -> None:
    second = standing(900_000, Points(1_000_000, 0, 450_000, 0), policy("0.97", step=1))
    third = standing(900_000, Points(1_000_000, 0, 850_000, 0), policy("0.99", step=1))
    assert second.revenue + second.breakage == 417_526
    assert third.revenue + third.breakage == 772_727


@pytest.mark.parametrize("scale", [1, 7_200])
def test_d1_ifric_13(scale: int) -> None:
    points = split_of(7_200_000, 10_000, policy("0.8", price="100"))
    assert points == 720_000
    whole = 100 * scale
    by = [(40, "0.80", 50), (81, "0.90", 90), (90, "0.90", 100)]
    for redeemed, expected, share in by:
        found, left = revenue_of(whole, 100, redeemed, policy(expected))
        assert (found, left) == (share * scale, whole - share * scale)


def test_d1_breakage_proportional() -> None:
    """Cards of 1,000, a tenth of which nobody will use: 540 redeemed bring 60 of breakage."""
    stands = standing(100_000, Points(100_000, 0, 54_000, 0), policy("0.9", step=1))
    assert (stands.revenue, stands.breakage, stands.liability) == (54_000, 6_000, 40_000)


def test_d1_breakage_where_the_house_is_not_entitled() -> None:
    points = Points(100_000, 0, 54_000, 10_000)
    remote = msgspec.structs.replace(policy("0.9", step=1), breakage="remote")
    none = msgspec.structs.replace(policy("0.9", step=1), breakage="none")
    assert standing(100_000, points, remote) == Standing(100_000, 0, 54_000, 10_000)
    assert standing(100_000, points, none) == Standing(100_000, 0, 54_000, 0)


def test_d1_granted_credits_give_no_revenue() -> None:
    """Lago: 100 bought and 30 used are 30 of revenue and 70 owed; gifts are allocated nothing."""
    bought = standing(10_000, Points(10_000, 0, 3_000, 0), policy("1", step=1))
    granted = standing(0, Points(10_000, 0, 3_000, 0), policy("1", step=1))
    assert (bought.revenue, bought.liability) == (3_000, 7_000)
    assert granted == Standing(0, 0, 0, 0)


def test_t40_a_ticket_and_its_miles() -> None:
    """800, 2,000 miles at 0.012, of which 80 % will be used."""
    found = allocate(
        80_000, {"miles": 200_000}, {"miles": policy("0.8", "0.012", allocation_step=1)}
    )
    assert found["miles"] == 1_875


def test_returned_goods_take_their_share_with_them() -> None:
    stands = standing(86_760, Points(100_000, 25_000, 0, 0), policy("0.95", step=1))
    assert (stands.returned, stands.liability) == (21_690, 65_070)
    assert standing(86_760, Points(100_000, 100_000, 0, 0), policy("0.95")).liability == 0


def test_when_nothing_is_left_to_redeem_nothing_is_left_to_owe() -> None:
    stands = standing(86_760, Points(100_000, 0, 40_000, 60_000), policy("0.95", step=1))
    assert (stands.revenue, stands.breakage, stands.liability) == (34_704, 52_056, 0)


_POINTS = st.integers(0, 10**9)


@given(
    allocated=st.integers(0, 10**10),
    issued=st.integers(1, 10**9),
    fate=st.tuples(_POINTS, _POINTS, _POINTS),
    share=st.decimals(0, 1, places=4),
    kind=st.sampled_from(["proportional", "remote", "none"]),
    step=st.sampled_from([1, 100]),
)
def test_a_cohort_never_gives_more_than_it_got(
    allocated: int, issued: int, fate: tuple[int, int, int], share: Decimal, kind: str, step: int
) -> None:
    how = msgspec.convert(
        {"expected_redemption": str(share), "breakage": kind, "step": step}, Policy
    )
    stands = standing(allocated - allocated % step, Points(issued, *fate), how)
    parts = (stands.returned, stands.revenue, stands.breakage, stands.liability)
    assert min(parts) >= 0
    assert sum(parts) == stands.allocated


@given(
    sales=st.integers(0, 10**12),
    issued=st.dictionaries(st.sampled_from("abc"), st.integers(0, 10**10), min_size=1),
    share=st.decimals(0, 1, places=4),
)
def test_no_more_is_allocated_than_was_sold(
    sales: int, issued: dict[str, int], share: Decimal
) -> None:
    how = dict.fromkeys(issued, Policy(expected_redemption=share))
    found = allocate(sales, issued, how)
    assert min(found.values()) >= 0
    assert sum(found.values()) <= sales + len(found)


def test_a_journal_moves_from_one_end_of_a_month_to_the_next() -> None:
    points = Points(1, 0, 0, 0)
    before = [Cohort("base", "2026-01", points, Standing(900, 0, 300, 20))]
    after = [
        Cohort("base", "2026-01", points, Standing(900, 90, 500, 10)),
        Cohort("base", "2026-02", points, Standing(700, 0, 0, 0)),
    ]
    (line,) = movements(before, after)
    assert (line.opening, line.deferred, line.returned) == (580, 700, 90)
    assert (line.revenue, line.breakage, line.closing) == (200, -10, 1000)
    made = entries("deferred-revenue/2026-02/1", [line], {})
    assert [(one.what, one.debit, one.credit, one.amount) for one in made] == [
        ("deferred", "sales", "deferred_revenue", 700),
        ("returned", "deferred_revenue", "sales", 90),
        ("revenue", "deferred_revenue", "loyalty_revenue", 200),
        ("breakage", "breakage_revenue", "deferred_revenue", 10),
    ]
    assert made[0].id == "deferred-revenue/2026-02/1/1"


def test_rounding_is_half_away_from_zero() -> None:
    assert [rounded(Decimal(one), 1) for one in ("0.5", "1.5", "2.4999", "-0.5")] == [1, 2, 2, -1]
    assert rounded(Decimal(411_000) / 4, 100) == 102_800
