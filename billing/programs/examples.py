"""Programs as the documentation shows them, on the demo chain: one for each type and reward."""

from __future__ import annotations

from typing import Any

_SINCE = {"valid_from": "2026-01-01T00:00:00-05:00"}

DEFINITIONS: dict[str, dict[str, Any]] = {
    "percent": _SINCE
    | {
        "name": "10% on groceries but milk",
        "scope": {"channels": ["shop"], "store_groups": ["south"]},
        "lines": {"groups": ["grocery"], "exclude_groups": ["grocery.fluid-milk-products"]},
        "reward": {"kind": "percent", "value": "10"},
        "rounding": {"mode": "down", "step": "1", "per": "receipt"},
        "available": {"after": "P14D"},
        "expires": {"after": "P12M", "round_up_to": "month"},
    },
    "happy-hours": _SINCE
    | {
        "name": "A point for every 10 in the morning",
        "when": {
            "all": [
                {"field": "receipt.time", "op": "between", "value": ["09:00", "11:59"]},
                {"field": "receipt.weekday", "op": "in", "value": ["mon", "tue", "wed"]},
                {"not": {"field": "customer.tags", "op": "has", "value": "employee"}},
            ]
        },
        "reward": {"kind": "per_amount", "value": "1", "step": "10"},
        "limits": {"per_receipt": "50", "per_customer_day": "100", "budget": "100000"},
    },
    "milk": _SINCE
    | {
        "name": "2 points for each milk from 1.00 on",
        "lines": {
            "groups": ["grocery.fluid-milk-products"],
            "when": {"field": "line.price", "op": ">=", "value": "1.00"},
        },
        "reward": {"kind": "per_unit", "value": "2"},
        "bucket": "promo",
        "expires": {"after": "P1M"},
    },
    "brackets": _SINCE
    | {
        "name": "The more, the more",
        "reward": {
            "kind": "brackets",
            "brackets": [{"from": "20", "value": "1"}, {"from": "50", "value": "2.5"}],
        },
        "stacking": {"group": "best-of", "policy": "max"},
    },
    "multiplier": _SINCE
    | {
        "name": "Three times as much near the birthday",
        "when": {"field": "receipt.days_to_birthday", "op": "between", "value": [-3, 3]},
        "reward": {"kind": "multiplier", "value": "3", "programs": ["base-5"]},
    },
    "welcome": _SINCE
    | {
        "name": "300 points to begin with, in three parts",
        "type": "scenario",
        "scenario": {"on": "registration"},
        "reward": {"kind": "fixed", "value": "300"},
        "bucket": "promo",
        "available": {"instalments": {"count": 3, "every": "P1M"}},
        "expires": {"after": "P3M"},
    },
    "birthday": _SINCE
    | {
        "name": "500 points for the birthday",
        "type": "scenario",
        "scenario": {"on": "birthday", "days_before": 3, "days_after": 3, "known_before": 14},
        "reward": {"kind": "fixed", "value": "500"},
    },
    "redemption": _SINCE
    | {
        "name": "Up to half with points",
        "type": "redemption",
        "lines": {"exclude_promo": True},
        "redemption": {"max_share": "50", "min_line_price": "0.01", "min_money": "1.00"},
    },
}

VERSIONS = {name: DEFINITIONS[name] for name in ("percent", "happy-hours", "milk", "brackets")}
"""Those that may be a version of a program of goods."""

PROGRAMS = {name: {"code": name, **definition} for name, definition in DEFINITIONS.items()}
