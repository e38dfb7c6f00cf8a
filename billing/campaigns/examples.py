"""Bodies for the documentation, of the demo chain."""

from __future__ import annotations

from typing import Any, Final

from billing.receipts.examples import CUSTOMER

CAMPAIGNS: Final[dict[str, Any]] = {
    "birthdays": {
        "code": "birthday-2027",
        "name": "300 points on the birthday",
        "audience": {"when": {"field": "receipt.days_to_birthday", "op": "=", "value": 0}},
        "points": "300.00",
        "recurrence": {"rule": "FREQ=DAILY", "at": "09:00"},
        "expires": {"after": "P30D"},
        "budget": "500000.00",
    },
    "end of the month": {
        "code": "vip-monthly",
        "name": "Thank you, dear VIPs",
        "audience": {"tag": "vip"},
        "points": "100.00",
        "bucket": "promo",
        "recurrence": {"rule": "FREQ=MONTHLY;BYMONTHDAY=-1;COUNT=12", "at": "18:30"},
        "reason": "Retention plan 2027, item 4",
    },
    "a list, once": {
        "code": "sorry-outage",
        "name": "Sorry for the outage",
        "audience": {"list": "uploaded"},
        "points": "50.00",
    },
}

PATCHES: Final[dict[str, Any]] = {"more": {"points": "150.00", "budget": None}}

LIST: Final[dict[str, Any]] = {"two": [CUSTOMER, {"card": "2000000000018"}]}
