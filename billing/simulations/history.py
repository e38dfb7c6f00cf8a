"""From a stored receipt to what programs calculate with, and to what it did earn."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from functools import lru_cache
from uuid import UUID

import asyncpg
import msgspec

from billing.catalog.model import CatalogSnapshot
from billing.catalog.service import Catalog
from billing.common.money import parse_amount
from billing.programs.model import Basket, Line, Member, Situation
from billing.receipts.basket import timezone_of
from billing.receipts.schemas import Quantity

CACHED = 65_536
"""Amounts and quantities come again and again."""


class SoldLine(msgspec.Struct, frozen=True):
    """A line of billing.receipts.lines, as far as programs look at it."""

    line: int
    group: str
    amount: str
    sku: str | None = None
    quantity: str = "1"
    price: str | None = None
    promo: bool = False
    points_paid: str = "0.00"
    accruals: dict[str, str] = {}


class Earned(msgspec.Struct, frozen=True):
    """An entry of billing.receipts.programs; `program` None: points that were stated."""

    program: str | None
    points: str


class Paid(msgspec.Struct, frozen=True):
    type: str
    amount: str


class Sale(msgspec.Struct, frozen=True):
    """A posted receipt: as programs see it, and what it earned by program, in all and by line."""

    id: UUID
    number: str
    situation: Situation
    points_paid: list[int]
    earned: dict[str | None, int]
    earned_by_line: list[dict[str, int]]


_lines = msgspec.json.Decoder(list[SoldLine])
_payments = msgspec.json.Decoder(list[Paid])
_earned = msgspec.json.Decoder(list[Earned])
_amount = lru_cache(CACHED)(parse_amount)


@lru_cache(CACHED)
def _quantity(text: str) -> int:
    return int(Quantity.from_wire(text))


class History:
    """Reads rows of `billing.simulations.store`.

    What a receipt does not keep is taken from the catalog as it is now: the store's group and time
    zone, the tree of product groups, which products are excluded.
    """

    def __init__(self, catalog: Catalog, timezone: str) -> None:
        self._catalog = catalog
        self._here = catalog.current()
        self._timezone = timezone

    async def read(self, rows: Sequence[asyncpg.Record]) -> Iterator[Sale]:
        """The sales of a chunk, each made when it is asked for."""
        lines = [_lines.decode(row["lines"]) for row in rows]
        products = await self._catalog.products(
            {line.sku for sold in lines for line in sold if line.sku is not None}
        )
        excluded = {product.sku for product in products.values() if product.excluded}
        return (self._sale(row, sold, excluded) for row, sold in zip(rows, lines, strict=True))

    def _sale(self, row: asyncpg.Record, sold: Sequence[SoldLine], excluded: set[str]) -> Sale:
        here, shop = self._here, self._here.stores.get(row["store"] or "")
        basket = Basket(
            row["channel"],
            row["store"],
            shop.group if shop else None,
            timezone_of(here, row["store"], self._timezone),
            row["occurred_at"],
            tuple([_line(line, here, excluded) for line in sold]),
            tuple([(one.type, _amount(one.amount)) for one in _payments.decode(row["payments"])]),
            frozenset((row["codes"] or "").split()),
        )
        earned: dict[str | None, int] = {}
        for one in _earned.decode(row["programs"]):
            earned[one.program] = earned.get(one.program, 0) + _amount(one.points)
        return Sale(
            row["id"],
            row["number"],
            Situation(basket, _member(row)),
            [_amount(line.points_paid) for line in sold],
            earned,
            [{code: _amount(points) for code, points in line.accruals.items()} for line in sold],
        )


def _line(line: SoldLine, here: CatalogSnapshot, excluded: set[str]) -> Line:
    return Line(
        line.line,
        line.sku,
        line.group,
        here.ancestry(line.group),
        _amount(line.amount),
        line.promo,
        line.sku in excluded,
        _quantity(line.quantity),
        None if line.price is None else _amount(line.price),
        here.legal(line.group),
    )


def _member(row: asyncpg.Record) -> Member:
    return Member(
        row["customer_id"],
        frozenset(row["tags"] or ()),
        row["created_at"],
        row["registered_channel"],
        row["registered_store"],
        row["birth_date"],
        row["birth_date_since"],
        row["verified_at"],
        row["first_purchase"],
    )
