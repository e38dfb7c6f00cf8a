"""Lines as a fiscal receipt prints them: quantity × price is the sum (54-FZ, tags 1023-1079)."""

from __future__ import annotations

from decimal import ROUND_HALF_UP, Decimal

import pytest
from hypothesis import given
from hypothesis import strategies as st

from billing.programs.fiscal import PrintLine, print_lines
from billing.programs.model import UNIT


def printed(amount: int, quantity: str, price: int) -> list[tuple[str, int, int]]:
    parts = print_lines(amount, int(Decimal(quantity) * UNIT), price)
    return [(f"{Decimal(part.quantity) / UNIT:g}", part.price, part.amount) for part in parts]


@pytest.mark.parametrize(
    ("amount", "quantity", "price", "expected"),
    [
        # Set Retail: 6 pieces for 120.69.
        (120_69, "6", 25_00, [("3", 20_12, 60_36), ("3", 20_11, 60_33)]),
        (120_66, "6", 25_00, [("6", 20_11, 120_66)]),
        (10_00, "3", 3_50, [("1", 3_34, 3_34), ("2", 3_33, 6_66)]),
        (150_00, "6", 25_00, [("6", 25_00, 150_00)]),
        (1, "6", 25_00, [("1", 1, 1), ("5", 0, 0)]),
        (99_99, "1", 100_00, [("1", 99_99, 99_99)]),
        (0, "6", 25_00, [("6", 0, 0)]),
        (0, "0", 25_00, [("0", 25_00, 0)]),
    ],
)
def test_pieces(
    amount: int, quantity: str, price: int, expected: list[tuple[str, int, int]]
) -> None:
    assert printed(amount, quantity, price) == expected


@pytest.mark.parametrize(
    ("amount", "quantity", "price", "expected"),
    [
        # Below one unit some price always gives the sum.
        (35_70, "0.357", 100_00, [("0.357", 100_00, 35_70)]),
        (31_13, "0.357", 100_00, [("0.357", 87_19, 31_13)]),
        (1, "0.357", 100_00, [("0.357", 2, 1)]),
        (2, "0.5", 3, [("0.5", 3, 2)]),  # A half is rounded up.
        # Above one, whole units may have to cost a hundredth more.
        (200_00, "2.357", 100_00, [("1", 84_86, 84_86), ("1.357", 84_85, 115_14)]),
        (199_99, "2.357", 100_00, [("2.357", 84_85, 199_99)]),
        (235_69, "2.357", 100_00, [("1", 100_00, 100_00), ("1.357", 99_99, 135_69)]),
        (0, "2.357", 100_00, [("2.357", 0, 0)]),
    ],
)
def test_weighed_goods(
    amount: int, quantity: str, price: int, expected: list[tuple[str, int, int]]
) -> None:
    assert printed(amount, quantity, price) == expected


def test_a_till_that_rounds_in_its_own_way_is_still_printed() -> None:
    """T52: the amount may miss quantity × price by the tolerance; it is split, not refused."""
    assert printed(9_98, "3", 3_33) == [("2", 3_33, 6_66), ("1", 3_32, 3_32)]
    assert printed(10_00, "3", 3_33) == [("1", 3_34, 3_34), ("2", 3_33, 6_66)]


def test_nothing_sold_costs_nothing() -> None:
    with pytest.raises(ValueError, match="nothing was sold"):
        print_lines(1, 0, 100)


@given(
    st.one_of(st.integers(1, 30).map(lambda n: n * UNIT), st.integers(1, 20_000_000)),
    st.integers(0, 1_000_000),
    st.integers(0, 10_000),
)
def test_c26_c28_quantities_and_sums_add_up_and_every_part_is_exact(
    quantity: int, price: int, share: int
) -> None:
    """Whatever points pay of a line: at most two parts, never dearer than it was."""
    full = rounded(quantity, price)
    left = full - full * share // 10_000
    parts = print_lines(left, quantity, price)
    assert len(parts) <= 2
    assert sum(part.quantity for part in parts) == quantity
    assert sum(part.amount for part in parts) == left
    for part in parts:
        assert part.quantity > 0
        assert part.price <= price
        assert part.amount == rounded(part.quantity, part.price)
    if quantity % UNIT == 0:
        assert all(part.quantity % UNIT == 0 for part in parts)
    if len(parts) == 2:
        high, low = parts
        assert high.price == low.price + 1
        assert high.quantity % UNIT == 0


@given(st.integers(1, 20_000_000), st.integers(1, 100_000), st.integers(0, 10_000))
def test_a_unit_is_printed_no_cheaper_than_its_least_price(
    quantity: int, floor: int, above: int
) -> None:
    """What a rule's least price leaves of a line is printed at that price at least."""
    least = -(-floor * quantity // UNIT)
    parts = print_lines(least + above, quantity, floor + above + 1)
    assert all(part.price >= floor for part in parts)


def rounded(quantity: int, price: int) -> int:
    exact = Decimal(quantity) * price / UNIT
    return int(exact.quantize(Decimal(1), ROUND_HALF_UP))


def test_parts_can_be_read_by_name() -> None:
    (only,) = print_lines(10_00, UNIT, 10_00)
    assert only == PrintLine(quantity=UNIT, price=10_00, amount=10_00)
