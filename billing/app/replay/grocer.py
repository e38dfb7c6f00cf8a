"""The lines of "The Complete Journey" (dunnhumby / 84.51°): a grocer's receipts, no points in them.

`receipt_lines.csv` holds a line of a basket a row, `products.csv` the department and category of a
product. Department and category become a tree of two levels. Three receipts in ten, chosen by hash,
pay up to half of their value with points.
"""

from __future__ import annotations

import csv
import re
from collections import Counter
from collections.abc import Callable, Iterable, Mapping
from datetime import datetime
from decimal import Decimal, InvalidOperation
from hashlib import sha256
from typing import Any
from zoneinfo import ZoneInfo

from billing.app.replay import lines, phones
from billing.app.replay.model import Chain, Customer, Group, Product, Sale, Step, Store

SOURCE = "complete-journey"
CHANNEL = "shop"
STORE_GROUPS = ("north", "south")
TIMEZONE = "America/New_York"
REDEEMING_PERCENT = 30
UNLISTED = Group("unlisted", "Not in the product list")
COLUMNS = (
    *("household_id", "store_id", "basket_id", "product_id"),
    *("quantity", "sales_value", "transaction_timestamp"),
)
_PRODUCT_COLUMNS = ("product_id", "department", "product_category", "product_type")
_NEW_YORK = ZoneInfo(TIMEZONE)


class FileFault(ValueError):
    """The file cannot be read as receipts; the message says where and why."""


def read_chain(receipts: Iterable[str], products: Iterable[str]) -> Chain:
    """The whole chain of the two files' text lines. Raises FileFault."""
    groups, catalog = read_products(products)
    baskets: dict[str, list[dict[str, str]]] = {}
    for row in _rows(receipts, COLUMNS, "receipt lines"):
        baskets.setdefault(row["basket_id"], []).append(row)
    adjusted = Counter[str]()

    def product(sku: str) -> Product:
        return catalog.setdefault(sku, Product(sku, f"Product {sku}", UNLISTED.code))

    made = [_sale(basket, rows, product, adjusted) for basket, rows in baskets.items()]
    sales = sorted((sale for sale in made if sale), key=lambda sale: (sale.at, sale.number))
    whole = Chain(
        source=SOURCE,
        channels={CHANNEL: "Stores"},
        stores=tuple(_store(code) for code in _values(baskets, "store_id")),
        groups=(*groups, UNLISTED),
        products=tuple(catalog.values()),
        customers=tuple(Customer(card, _phone(card)) for card in _values(baskets, "household_id")),
        sales=tuple(sales),
        adjusted=adjusted,
    )
    return whole.first(len(sales))


def read_products(rows: Iterable[str]) -> tuple[list[Group], dict[str, Product]]:
    """Groups, parents first, and products by sku."""
    groups: dict[str, Group] = {}
    products: dict[str, Product] = {}
    for row in _rows(rows, _PRODUCT_COLUMNS, "products"):
        department = row["department"] or "OTHER"
        category = row["product_category"] or "OTHER"
        parent = _slug(department)
        code = f"{parent}.{_slug(category)}"
        groups.setdefault(parent, Group(parent, department.title()))
        groups.setdefault(code, Group(code, category.capitalize(), parent))
        name = " ".join(f"{row['product_type']} {row.get('package_size') or ''}".split())
        products[row["product_id"]] = Product(row["product_id"], name or category, code)
    return sorted(groups.values(), key=lambda group: group.parent is not None), products


def _sale(
    basket: str,
    rows: list[dict[str, str]],
    product: Callable[[str], Product],
    adjusted: Counter[str],
) -> Sale | None:
    first = rows[0]
    kept: list[tuple[int, dict[str, Any]]] = []
    for row in rows:
        quantity, amount = _number(row, "quantity"), lines.cents(_number(row, "sales_value"))
        if quantity == 0 and amount == 0:
            adjusted["left out: neither quantity nor value"] += 1
            continue
        if not lines.fits(quantity, amount):
            adjusted["sent as quantity 1: no price in cents gives the value"] += 1
            quantity = Decimal(1)
        goods = product(row["product_id"])
        kept.append((amount, lines.line(len(kept) + 1, goods.sku, goods.group, quantity, amount)))
    if not kept:
        adjusted["receipts left out: no line remains"] += 1
        return None
    total = sum(amount for amount, _ in kept)
    at = _moment(first)
    body: dict[str, Any] = {
        "customer": {"card": first["household_id"]},
        "channel": CHANNEL,
        "store": first["store_id"],
        "receipt": {
            "number": basket,
            "occurred_at": at.isoformat(),
            "lines": [made for _, made in kept],
        },
    }
    key = f"{SOURCE}:{basket}"
    step = Step(key, "/v1/receipts", body, total // 2 if _redeems(key) else 0)
    return Sale(basket, first["household_id"], at, total, (step,))


def _phone(household: str) -> str:
    if not household.isdecimal():
        raise FileFault(f"household {household!r} is not a number")
    return phones.numbered(int(household))


def _redeems(key: str) -> bool:
    return int.from_bytes(sha256(key.encode()).digest()[:4]) % 100 < REDEEMING_PERCENT


def _store(code: str) -> Store:
    group = STORE_GROUPS[sha256(code.encode()).digest()[0] % len(STORE_GROUPS)]
    return Store(code, f"Store {code}", CHANNEL, group, TIMEZONE)


def _moment(row: Mapping[str, str]) -> datetime:
    text = row["transaction_timestamp"]
    try:
        return datetime.strptime(text, "%Y-%m-%d %H:%M:%S").replace(tzinfo=_NEW_YORK)
    except ValueError as error:
        raise FileFault(f"basket {row['basket_id']}: {text!r} is not a time") from error


def _number(row: Mapping[str, str], column: str) -> Decimal:
    try:
        value = Decimal(row[column])
    except InvalidOperation as error:
        raise FileFault(
            f"basket {row['basket_id']}: {column} {row[column]!r} is no number"
        ) from error
    if not value.is_finite() or not 0 <= value <= lines.MOST:
        raise FileFault(f"basket {row['basket_id']}: {column} {row[column]!r} is not an amount")
    return value


def _rows(text: Iterable[str], needed: Iterable[str], what: str) -> Iterable[dict[str, str]]:
    reader = csv.DictReader(text, restval="")
    missing = set(needed) - set(reader.fieldnames or ())
    if missing:
        raise FileFault(f"the {what} lack the columns {', '.join(sorted(missing))}")
    return reader


def _values(baskets: Mapping[str, list[dict[str, str]]], column: str) -> list[str]:
    return sorted({rows[0][column] for rows in baskets.values()})


def _slug(name: str) -> str:
    return re.sub(r"[^a-z0-9]+", "-", name.lower()).strip("-")
