"""Receipts of a Russian chain with the points it gave and took: these very amounts are posted.

`points_receipts.jsonl` holds a customer a line, with his purchases. "Express" points go to the
promo bucket. What a customer spent beyond what the file shows earned was there before: it is posted
first, as an opening balance of each bucket.
"""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Iterable, Mapping
from datetime import datetime
from decimal import Decimal
from typing import Any
from zoneinfo import ZoneInfo

from billing.app.replay import lines, phones
from billing.app.replay.grocer import FileFault
from billing.app.replay.model import Chain, Customer, Group, Product, Sale, Step, Store
from billing.common.money import format_amount, split

SOURCE = "points-chain"
CHANNEL = "shop"
STORE_GROUP = "moscow"
TIMEZONE = "Europe/Moscow"
GROUP = Group("all-goods", "All goods")
_BUCKETS = {"base": "regular_points", "promo": "express_points"}
_MOSCOW = ZoneInfo(TIMEZONE)


def read_chain(text: Iterable[str]) -> Chain:
    """The whole chain of the file's lines. Raises FileFault."""
    adjusted = Counter[str]()
    sales: list[Sale] = []
    stores, skus, cards = set[str](), set[str](), set[str]()
    for number, row in enumerate(text, 1):
        try:
            client = json.loads(row, parse_float=Decimal, parse_int=Decimal)
            purchases = sorted(client["transaction_history"], key=lambda it: str(it["datetime"]))
            sales += _sales(client["client_id"], purchases, adjusted)
            cards.add(client["client_id"])
            stores.update(purchase["store_id"] for purchase in purchases)
            skus.update(goods["product_id"] for it in purchases for goods in it["products"])
        except (KeyError, TypeError, ValueError) as error:
            raise FileFault(f"line {number} is not a customer's purchases: {error!r}") from error
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


def opening_balances(purchases: Iterable[Mapping[str, Any]]) -> dict[str, int]:
    """What each bucket must hold before the first purchase so that it never goes below zero."""
    running, lowest = dict.fromkeys(_BUCKETS, 0), dict.fromkeys(_BUCKETS, 0)
    for purchase in purchases:
        for bucket in _BUCKETS:
            running[bucket] -= _spent(purchase, bucket)
            lowest[bucket] = min(lowest[bucket], running[bucket])
            running[bucket] += _given(purchase, bucket)
    return {bucket: -low for bucket, low in lowest.items() if low < 0}


def _sales(card: str, purchases: list[dict[str, Any]], adjusted: Counter[str]) -> Iterable[Sale]:
    openings = [_opening(card, *item) for item in opening_balances(purchases).items()]
    for purchase in purchases:
        at = datetime.fromisoformat(purchase["datetime"]).replace(tzinfo=_MOSCOW)
        number = f"{card}-{at:%Y%m%d%H%M%S}"
        total = lines.cents(purchase["purchase_sum"])
        body = {
            "customer": {"card": card},
            "channel": CHANNEL,
            "store": purchase["store_id"],
            "receipt": {
                "number": number,
                "occurred_at": at.isoformat(),
                "lines": _lines(purchase["products"], total, adjusted),
            },
        }
        yield Sale(number, card, at, total, (*openings, *_steps(number, body, purchase)))
        openings = []


def _steps(number: str, body: dict[str, Any], purchase: Mapping[str, Any]) -> list[Step]:
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


def _lines(goods: list[dict[str, Any]], total: int, adjusted: Counter[str]) -> list[dict[str, Any]]:
    """A line a product, with the share of the total that its quantity gives it."""
    if any(item["quantity"] < 1 for item in goods):
        adjusted["quantity 0 taken as 1"] += sum(item["quantity"] < 1 for item in goods)
    quantities = [max(item["quantity"], Decimal(1)) for item in goods]
    shares = split(total, [int(quantity) for quantity in quantities])
    made: list[dict[str, Any]] = []
    for item, quantity, share in zip(goods, quantities, shares, strict=True):
        whole = quantity if lines.fits(quantity, share) else Decimal(1)
        adjusted["sent as quantity 1: no price in cents gives the value"] += whole != quantity
        made.append(lines.line(len(made) + 1, item["product_id"], GROUP.code, whole, share))
    return made


def _given(purchase: Mapping[str, Any], bucket: str) -> int:
    return lines.cents(purchase[f"{_BUCKETS[bucket]}_received"])


def _spent(purchase: Mapping[str, Any], bucket: str) -> int:
    return lines.cents(-purchase[f"{_BUCKETS[bucket]}_spent"])
