"""The demo chain: a thousand real receipts of fifty households, and what a chain sets up for them.

`data/` holds a sample of "The Complete Journey" in its own format (see data/CREDITS); `sample.py`
made it.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

RECEIPTS = Path(__file__).with_name("data") / "receipt_lines.csv.gz"
PRODUCTS = Path(__file__).with_name("data") / "products.csv.gz"

CHANNELS = {"shop": "Stores", "site": "Online shop", "telegram": "Telegram bot"}

PROGRAM: dict[str, Any] = {
    "code": "base-5",
    "name": "5% on everything but fuel and tobacco",
    "type": "accrual",
    "valid_from": "2016-01-01T00:00:00+03:00",
    "valid_to": None,
    "scope": {"channels": ["shop"], "stores": [], "store_groups": ["north", "south"]},
    "lines": {"exclude_groups": ["fuel", "drug-gm.cigarettes"]},
    "reward": {"kind": "percent", "value": "5"},
    "base": "net_of_points",
    "rounding": {"mode": "down", "step": "0.01", "per": "receipt"},
    "bucket": "base",
}
"""Valid since before the sample's first receipt. The points never expire: the receipts are of
2017, and what they earned is there to be spent today."""
