"""A sale to try the service with, in words of the demo chain (`make run`)."""

from __future__ import annotations

from typing import Any

CUSTOMER = {"phone": "+12095550166"}
OTHER_CUSTOMER = {"phone": "+12085550136"}


def sale_example(number: str) -> dict[str, Any]:
    """Two bottles of milk, on the receipt `number`."""
    return {
        "customer": CUSTOMER,
        "channel": "shop",
        "store": "333",
        "receipt": {
            "number": number,
            "occurred_at": "2026-01-15T14:03:00-05:00",
            "lines": [
                {
                    "line": 1,
                    "sku": "32553",
                    "group": "grocery.fluid-milk-products",
                    "quantity": "2",
                    "price": "50.00",
                    "amount": "100.00",
                }
            ],
            "payments": [{"type": "card", "amount": "100.00"}],
        },
    }
