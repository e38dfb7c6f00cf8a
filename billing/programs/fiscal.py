"""Lines as a fiscal receipt wants them: quantity × price is the sum, to the hundredth (54-FZ).

Points are a discount, so a line is printed at its price after them. Where no price in hundredths
gives the sum, the line is printed as two: some whole units cost a hundredth more than the rest.
"""

from __future__ import annotations

from typing import NamedTuple

from billing.programs.model import UNIT


class PrintLine(NamedTuple):
    """Quantity in 1/UNIT; price of a unit and sum in 1/100."""

    quantity: int
    price: int
    amount: int


def print_lines(amount: int, quantity: int, price: int) -> tuple[PrintLine, ...]:
    """How to print `quantity` sold at `price` a unit, of which `amount` is left after points.

    One part or two; quantities and sums add up; each sum is quantity × price, rounded half up.
    A line that is `amount` at `price` is printed so. Raises ValueError for a sum of nothing.
    """
    if quantity <= 0 and amount:
        raise ValueError("nothing was sold, so nothing can be paid for it")
    lower = amount * UNIT // quantity if amount else 0
    for unit in (price, lower, lower + 1):
        if _sum(quantity, unit) == amount:
            return (PrintLine(quantity, unit, amount),)
    # Each whole unit that costs a hundredth more adds just that; there are enough of them, as
    # the whole quantity at the higher price comes to more.
    dearer = amount - _sum(quantity, lower)
    rest = quantity - dearer * UNIT
    high = PrintLine(dearer * UNIT, lower + 1, dearer * (lower + 1))
    return (high, PrintLine(rest, lower, _sum(rest, lower)))


def _sum(quantity: int, price: int) -> int:
    return (quantity * price + UNIT // 2) // UNIT
