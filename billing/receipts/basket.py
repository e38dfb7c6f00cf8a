"""From a receipt on the wire to a basket that programs can calculate with."""

from __future__ import annotations

from datetime import datetime, timedelta

import msgspec

from billing.catalog.model import CatalogSnapshot, Product
from billing.catalog.service import Catalog
from billing.common.auth import Principal
from billing.common.errors import FieldError, ValidationFailed
from billing.common.money import MAX_AMOUNT, format_amount
from billing.programs.model import Basket, Line
from billing.receipts.schemas import LineIn, Quantity, ReceiptIn

AHEAD = timedelta(days=1)
"""How far a till's clock may run ahead."""


class Place(msgspec.Struct, frozen=True):
    """Where an operation happens. `timezone` is the IANA name that counts there."""

    channel: str
    store: str | None
    store_group: str | None
    timezone: str


async def place_of(
    principal: Principal, catalog: Catalog, channel: str | None, store: str | None, timezone: str
) -> Place:
    """The place a request acts for. Raises Forbidden, ValidationFailed."""
    named = channel
    channel, store = principal.bind(channel, store)
    if principal.store is not None:
        channel = named  # A till goes with its store when that moves to another channel.
    elif store is not None:
        of_store, _ = await catalog.place(None, store)
        principal.bind(of_store, store)
    channel, store = await catalog.place(channel, store)
    if channel is None:
        raise ValidationFailed.at("/channel", "is needed: this key is not bound to a channel")
    if store is None:
        return Place(channel, None, None, timezone)
    snapshot = catalog.current()
    zone = timezone_of(snapshot, store, timezone)
    return Place(channel, store, snapshot.stores[store].group, zone)


def timezone_of(catalog: CatalogSnapshot, store: str | None, chain: str) -> str:
    """The IANA name of the zone that counts at a store: its own, else the chain's."""
    known = catalog.stores.get(store or "")
    return (known and known.timezone) or chain


async def basket_of(
    catalog: Catalog, place: Place, receipt: ReceiptIn, now: datetime, tolerance: int
) -> Basket:
    """Check a receipt against itself and the catalog. Raises ValidationFailed with every fault.

    `tolerance` in 1/100 of money: by how much quantity × price may miss a line's amount (T52).
    """
    products = await catalog.products(line.sku for line in receipt.lines)
    groups = {line.group for line in receipt.lines} | {one.group for one in products.values()}
    if not groups - {None} <= catalog.current().groups.keys():
        await catalog.refresh()  # It may have come this very second, by another process.
    snapshot = catalog.current()
    faults: list[FieldError] = []
    if receipt.occurred_at > now + AHEAD:
        faults.append(
            FieldError("/receipt/occurred_at", "is more than a day ahead; check the till's clock")
        )
    numbers: set[int] = set()
    lines: list[Line] = []
    for index, line in enumerate(receipt.lines):
        at = f"/receipt/lines/{index}"
        if line.line in numbers:
            faults.append(FieldError(f"{at}/line", f"line {line.line} is there twice"))
        numbers.add(line.line)
        fault = _sum_fault(line, tolerance)
        if fault is not None:
            faults.append(FieldError(f"{at}/amount", fault))
        product = products.get(line.sku)
        group, fault = _group(line, product, snapshot)
        if fault is not None:
            faults.append(FieldError(f"{at}/group", fault))
        excluded = product is not None and product.excluded
        lines.append(
            Line(
                line.line,
                str(line.sku),
                group,
                snapshot.ancestry(group),
                int(line.amount),
                line.promo,
                excluded,
                int(line.quantity),
                int(line.price),
                snapshot.legal(group) or (product and snapshot.legal(product.group)) or None,
            )
        )
    if sum(line.amount for line in lines) > MAX_AMOUNT:
        faults.append(
            FieldError("/receipt/lines", f"add up to more than {format_amount(MAX_AMOUNT)}")
        )
    if faults:
        raise ValidationFailed(faults[:20])
    return Basket(
        place.channel,
        place.store,
        place.store_group,
        place.timezone,
        receipt.occurred_at,
        tuple(lines),
        tuple((payment.type, int(payment.amount)) for payment in receipt.payments),
        frozenset(map(str, receipt.codes)),
    )


def _sum_fault(line: LineIn, tolerance: int) -> str | None:
    product = line.quantity * line.price
    if product == 0 and line.amount:
        return f"is {format_amount(line.amount)}, but quantity × price is nothing"
    if abs(product - line.amount * Quantity.UNIT) <= tolerance * Quantity.UNIT:
        return None
    exact = (product + Quantity.UNIT // 2) // Quantity.UNIT
    return (
        f"is {format_amount(line.amount)}, but {line.quantity.text()} × "
        f"{format_amount(line.price)} is {format_amount(exact)}"
    )


def _group(
    line: LineIn, product: Product | None, snapshot: CatalogSnapshot
) -> tuple[str, str | None]:
    if line.group is not None:
        known = line.group in snapshot.groups
        return str(line.group), None if known else f"there is no product group {line.group!r}"
    if product is None:
        return "", f"is needed: the product {line.sku!r} is not in the catalog"
    return product.group, None
