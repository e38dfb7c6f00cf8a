"""A redemption as it is kept: the receipt it pays, and how much of each line it may pay.

A rule may change while points are held; what was held is captured as it was allowed then.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any
from uuid import UUID

import msgspec

from billing.catalog.model import Legal
from billing.common.wire import encode
from billing.programs.model import UNIT, Basket, Line
from billing.programs.payment import Payable, share_out
from billing.receipts.basket import Place


class KeptLine(msgspec.Struct, frozen=True, array_like=True):
    """`cap` is the most that points may pay of the line, in 1/100.

    Redemptions of the time before rules have neither caps nor quantities and prices.
    """

    number: int
    sku: str | None
    group: str
    amount: int
    promo: bool
    excluded: bool
    cap: int | None = None
    quantity: int = UNIT
    price: int | None = None
    legal: Legal | None = None

    @property
    def payable(self) -> int:
        if self.cap is not None:
            return self.cap
        return 0 if self.excluded else self.amount

    def line(self) -> Line:
        return Line(
            self.number,
            self.sku,
            self.group,
            (self.group,),
            self.amount,
            self.promo,
            self.excluded,
            self.quantity,
            self.price,
            self.legal,
        )


_KEPT = msgspec.json.Decoder(tuple[KeptLine, ...])


class Held(msgspec.Struct, frozen=True):
    """A redemption: its place, the basket it pays, and the most it may pay of each line."""

    id: UUID
    customer_id: UUID
    place: Place
    number: str
    mode: str
    points: int
    basket: Basket
    caps: tuple[int, ...]

    def pays(self, points: int) -> list[int]:
        """What `points`, all or a part, pay of each line."""
        return share_out(points, self.caps, self.basket.lines)


def kept_lines(lines: Sequence[Line], allowed: Payable) -> str:
    """The JSON to keep of a basket's lines."""
    kept = [
        KeptLine(
            line.number,
            line.sku,
            line.group,
            line.amount,
            line.promo,
            line.excluded,
            cap,
            line.quantity,
            line.price,
            line.legal,
        )
        for line, cap in zip(lines, allowed.by_line, strict=True)
    ]
    return encode(kept).decode()


def held_of(row: Any, place: Place) -> Held:
    """A redemption from its row in billing.redemptions."""
    kept = _KEPT.decode(row["lines"])
    basket = Basket(
        place.channel,
        place.store,
        place.store_group,
        place.timezone,
        row["occurred_at"],
        tuple(one.line() for one in kept),
    )
    return Held(
        row["id"],
        row["customer_id"],
        place,
        row["number"],
        row["mode"],
        row["points"],
        basket,
        tuple(one.payable for one in kept),
    )


def kept_payable(row: Any, basket: Basket) -> Payable | None:
    """What the redemption of a row in billing.redemptions may pay of `basket`: as it was allowed
    when it was made, whatever the rules are now. None when it was made for other lines: for
    anything else that rules may look at."""
    kept = {_description(one): one.payable for one in _KEPT.decode(row["lines"])}
    wanted = [_description(line) for line in basket.lines]
    if kept.keys() != set(wanted):
        return None
    return Payable(tuple(kept[line] for line in wanted), row["points"])


def _description(line: KeptLine | Line) -> tuple[object, ...]:
    return (line.number, line.sku, line.group, line.amount, line.promo, line.quantity, line.legal)
