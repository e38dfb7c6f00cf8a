"""A line of a receipt as the contract takes it: quantity x price gives the amount."""

from __future__ import annotations

from decimal import ROUND_HALF_UP, Decimal
from typing import Any

from billing.common.money import format_amount

_CENT = Decimal("0.01")
MOST = Decimal(10) ** 9
"""More than that no receipt of a shop is about."""
TOLERANCE = Decimal("0.01")
"""How far quantity x price may be from the amount: the service's default, for any till vendor."""


def line(number: int, sku: str, group: str, quantity: Decimal, amount: int) -> dict[str, Any]:
    """The wire form of a line whose quantity and amount (1/100) fit together, see `fits`."""
    return {
        "line": number,
        "sku": sku,
        "group": group,
        "quantity": f"{quantity.normalize():f}",
        "price": f"{_price(quantity, amount):f}",
        "amount": format_amount(amount),
    }


def fits(quantity: Decimal, amount: int) -> bool:
    """Whether some price of whole cents gives the amount (1/100), within the tolerance."""
    if quantity <= 0:
        return False
    missed = quantity * _price(quantity, amount) - Decimal(amount) / 100
    return abs(missed) <= TOLERANCE


def cents(value: Decimal) -> int:
    """Money of a file in 1/100; a half cent goes up. Raises ValueError for no amount of money."""
    if not value.is_finite() or abs(value) > MOST:
        raise ValueError(f"{value} is not an amount of money")
    return int((value * 100).quantize(Decimal(1), ROUND_HALF_UP))


def _price(quantity: Decimal, amount: int) -> Decimal:
    return (Decimal(amount) / 100 / quantity).quantize(_CENT, ROUND_HALF_UP)
