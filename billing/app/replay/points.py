"""Receipts of a Russian chain with the points it gave and took: these very amounts are posted.

`points_receipts.jsonl` holds a customer a line, with his purchases. "Express" points go to the
promo bucket. What a customer spent beyond what the file shows earned was there before: it is posted
first, as an opening balance of each bucket.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable
from datetime import datetime
from decimal import Decimal
from typing import Annotated, Any
from zoneinfo import ZoneInfo

import msgspec

from billing.app.replay import lines, phones
from billing.app.replay.grocer import FileFault
from billing.app.replay.model import Chain, Customer, Group, Product, Sale, Step, Store
from billing.common.decoding import decode_body
from billing.common.errors import ValidationFailed
from billing.common.money import format_amount, split
from billing.common.wire import MAX_CODE

SOURCE = "points-chain"
CHANNEL = "shop"
STORE_GROUP = "moscow"
TIMEZONE = "Europe/Moscow"
GROUP = Group("all-goods", "All goods")
_BUCKETS = {"base": "regular_points", "promo": "express_points"}
_MOSCOW = ZoneInfo(TIMEZONE)


Name = Annotated[str, msgspec.Meta(min_length=1, max_length=MAX_CODE)]


class Goods(msgspec.Struct):
    product_id: Name
    quantity: Decimal


class Purchase(msgspec.Struct):
    """A purchase as the file has it; points spent are negative."""

    datetime: str
    store_id: Name
    purchase_sum: Decimal
    regular_points_received: Decimal
    regular_points_spent: Decimal
    express_points_received: Decimal
    express_points_spent: Decimal
    products: list[Goods]


class Client(msgspec.Struct):
    client_id: Name
    transaction_history: list[Purchase]


def read_chain(text: Iterable[str]) -> Chain:
    """The whole chain of the file's lines. Raises FileFault."""
    adjusted = Counter[str]()
    sales: list[Sale] = []
    stores, skus, cards = set[str](), set[str](), set[str]()
    for number, row in enumerate(text, 1):
        try:
            client = decode_body(row.encode(), Client)
            purchases = sorted(client.transaction_history, key=lambda one: one.datetime)
            sales += _sales(client.client_id, purchases, adjusted)
        except (ValidationFailed, ValueError) as error:
            raise FileFault(f"line {number} is not a customer's purchases: {error}") from error
        cards.add(client.client_id)
        stores.update(purchase.store_id for purchase in purchases)
        skus.update(goods.product_id for one in purchases for goods in one.products)
    by_card = phones.hashed(cards)
    return Chain(
        source=SOURCE,
        channels={CHANNEL: "Stores"},
        stores=tuple(
            Store(code, f"Store {code}", CHANNEL, STORE_GROUP, TIMEZONE) for code in sorted(stores)
        ),
        groups=(GROUP,),
        products=tuple(Product(sku, f"Product {sku}", GROUP.code) for sku in sorted(skus)),
        customers=tuple(Customer(card, by_card[card]) for card in sorted(cards)),
        sales=tuple(sorted(sales, key=lambda sale: (sale.at, sale.number))),
        adjusted=adjusted,
    )


def opening_balances(purchases: Iterable[Purchase]) -> dict[str, int]:
    """What each bucket must hold before the first purchase so that it never goes below zero."""
    running, lowest = dict.fromkeys(_BUCKETS, 0), dict.fromkeys(_BUCKETS, 0)
    for purchase in purchases:
        for bucket in _BUCKETS:
            running[bucket] -= _spent(purchase, bucket)
            lowest[bucket] = min(lowest[bucket], running[bucket])
            running[bucket] += _given(purchase, bucket)
    return {bucket: -low for bucket, low in lowest.items() if low < 0}


def _sales(card: str, purchases: list[Purchase], adjusted: Counter[str]) -> Iterable[Sale]:
    openings = [_opening(card, *item) for item in opening_balances(purchases).items()]
    for purchase in purchases:
        at = _moment(purchase.datetime)
        number = f"{card}-{at:%Y%m%d%H%M%S}"
        total = lines.cents(purchase.purchase_sum)
        body = {
            "customer": {"card": card},
            "channel": CHANNEL,
            "store": purchase.store_id,
            "receipt": {
                "number": number,
                "occurred_at": at.isoformat(),
                "lines": _lines(purchase.products, total, adjusted),
            },
        }
        yield Sale(number, card, at, total, (*openings, *_steps(number, body, purchase)))
        openings = []


def _steps(number: str, body: dict[str, Any], purchase: Purchase) -> list[Step]:
    """The redemption of what was spent, then the accrual of what was given."""
    steps = []
    if spent := sum(_spent(purchase, bucket) for bucket in _BUCKETS):
        paid = {**body, "points": format_amount(spent), "mode": "capture"}
        steps.append(Step(f"{SOURCE}:{number}:redemption", "/v1/redemptions", paid))
    given = {bucket: _given(purchase, bucket) for bucket in _BUCKETS}
    # Nothing given is stated too: left out, the programs would give what they give.
    named = {bucket: points for bucket, points in given.items() if points} or {"base": 0}
    stated = [{"points": format_amount(n), "bucket": bucket} for bucket, n in named.items()]
    earned = {**body, "stated": stated}
    steps.append(Step(f"{SOURCE}:{number}:accrual", "/v1/accruals", earned))
    return steps


def _opening(card: str, bucket: str, points: int) -> Step:
    body = {
        "customer": {"card": card},
        "points": f"+{format_amount(points)}",
        "bucket": bucket,
        "reason": "opening balance",
    }
    return Step(f"{SOURCE}:{card}:opening-{bucket}", "/v1/adjustments", body)


def _lines(goods: list[Goods], total: int, adjusted: Counter[str]) -> list[dict[str, Any]]:
    """A line a product, with the share of the total that its quantity gives it."""
    if not goods or total < 0 or any(not abs(item.quantity) <= lines.MOST for item in goods):
        raise ValueError("a purchase needs a sum, and products with quantities")
    if any(item.quantity < 1 for item in goods):
        adjusted["quantity 0 taken as 1"] += sum(item.quantity < 1 for item in goods)
    quantities = [max(item.quantity, Decimal(1)) for item in goods]
    shares = split(total, [int(quantity) for quantity in quantities])
    made: list[dict[str, Any]] = []
    for item, quantity, share in zip(goods, quantities, shares, strict=True):
        whole = quantity if lines.fits(quantity, share) else Decimal(1)
        adjusted["sent as quantity 1: no price in cents gives the value"] += whole != quantity
        made.append(lines.line(len(made) + 1, item.product_id, GROUP.code, whole, share))
    return made


def _given(purchase: Purchase, bucket: str) -> int:
    return _points(purchase, f"{_BUCKETS[bucket]}_received")


def _spent(purchase: Purchase, bucket: str) -> int:
    return _points(purchase, f"{_BUCKETS[bucket]}_spent", -1)


def _moment(text: str) -> datetime:
    try:
        return datetime.fromisoformat(text).replace(tzinfo=_MOSCOW)
    except ValueError:
        raise ValueError(f"{text!r} is not a time") from None


def _points(purchase: Purchase, name: str, sign: int = 1) -> int:
    points = sign * lines.cents(getattr(purchase, name))
    if points < 0:
        raise ValueError(f"{name} of {purchase.datetime} has the wrong sign")
    return points
