"""What a file of receipts becomes before anything is sent: a chain, and the sales of its tills.

A `Sale` is one receipt of one customer; its `Step`s are the POSTs that record it, in order. A
step's key and body depend on the file alone, so that another run sends the same bytes. The one
thing that depends on the service, how many points a customer pays with, is kept in the journal.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field, replace
from datetime import datetime
from typing import Any


@dataclass(frozen=True)
class Store:
    code: str
    name: str
    channel: str
    group: str
    timezone: str


@dataclass(frozen=True)
class Group:
    """A product group; `parent` is another group's code."""

    code: str
    name: str
    parent: str | None = None


@dataclass(frozen=True)
class Product:
    sku: str
    name: str
    group: str


@dataclass(frozen=True)
class Customer:
    """`card` is the file's own number of the customer, `phone` a made-up one."""

    card: str
    phone: str


@dataclass(frozen=True)
class Step:
    """One POST. `redeem_up_to` (1/100 point) asks to pay with points, when the customer has any."""

    key: str
    path: str
    body: Mapping[str, Any]
    redeem_up_to: int = 0


@dataclass(frozen=True)
class Sale:
    number: str
    card: str
    at: datetime
    total: int
    steps: tuple[Step, ...]


@dataclass(frozen=True)
class Chain:
    """All that a file needs in the service, parents before children, and its sales by time.

    `adjusted` counts the lines that had to be changed to fit the contract, by reason.
    """

    source: str
    channels: Mapping[str, str]
    stores: tuple[Store, ...]
    groups: tuple[Group, ...]
    products: tuple[Product, ...]
    customers: tuple[Customer, ...]
    sales: tuple[Sale, ...]
    adjusted: Counter[str] = field(default_factory=Counter)

    def first(self, count: int) -> Chain:
        """The first `count` sales by time, with only the customers, stores and goods they need."""
        sales = self.sales[:count]
        cards = {sale.card for sale in sales}
        bodies = [step.body for sale in sales for step in sale.steps]
        stores = {body.get("store") for body in bodies}
        skus = {line["sku"] for body in bodies for line in body.get("receipt", {}).get("lines", ())}
        products = tuple(product for product in self.products if product.sku in skus)
        return replace(
            self,
            stores=tuple(store for store in self.stores if store.code in stores),
            groups=_with_parents(self.groups, {product.group for product in products}),
            products=products,
            customers=tuple(customer for customer in self.customers if customer.card in cards),
            sales=sales,
        )


def _with_parents(groups: Iterable[Group], codes: set[str]) -> tuple[Group, ...]:
    known = {group.code: group for group in groups}
    wanted = set[str]()
    for code in codes:
        here: str | None = code
        while here is not None and here not in wanted:
            wanted.add(here)
            here = known[here].parent
    return tuple(group for group in known.values() if group.code in wanted)
