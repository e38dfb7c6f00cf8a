"""What points may pay of a receipt, and what each line is paid with. Pure; a point is worth one.

The rule that counts is the first, by priority, whose condition holds; without one points may pay
all but excluded products and goods whose price the law protects.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from fractions import Fraction
from types import MappingProxyType
from typing import Literal

import msgspec

from billing.common.money import split
from billing.programs.conditions import holds, line_holds
from billing.programs.model import UNIT, Basket, Line, RedemptionRule, Situation
from ledger.flows import BurnOrder

SHARE_UNIT = 100 * 10_000
"""A `max_share` of this is the whole."""

ObstacleCode = Literal[
    "excluded_product",
    "legal",
    "promo_line",
    "other_goods",
    "excluded_goods",
    "line_condition",
    "min_line_price",
    "max_share",
    "min_money",
]


class Obstacle(msgspec.Struct, frozen=True):
    """Why points may not pay all: of a line (its number), or of the receipt (None).

    `outcome` is `nothing` for what may not be paid at all. `values` by code: `legal`
    {kind}, `line_condition` {condition}, `min_line_price` {price}, `max_share` {share}, `min_money`
    {money}; amounts in 1/100, shares in 1/10000 of a percent. Texts: billing.programs.obstacles.
    """

    line: int | None
    outcome: Literal["reduced", "nothing"]
    code: ObstacleCode
    values: Mapping[str, object] = MappingProxyType({})


class Payable(msgspec.Struct, frozen=True):
    """`by_line`: the most that points may pay of each line of the basket; `total`: of them all
    together, which the rule may set lower. `rule` and `version` None: no rule counted."""

    by_line: tuple[int, ...]
    total: int
    order: BurnOrder = "expiry"
    rule: str | None = None
    version: int | None = None
    obstacles: tuple[Obstacle, ...] = ()


def payable(rules: Sequence[RedemptionRule], situation: Situation) -> Payable:
    """What points may pay of the basket, under the first of `rules` whose condition holds.

    `rules` are those that work at the basket's place and time, highest priority first.
    """
    basket = situation.basket
    rule = next((r for r in rules if r.when is None or holds(r.when, situation)), None)
    shareable = 0
    caps: list[int] = []
    obstacles: list[Obstacle] = []
    for line in basket.lines:
        obstacle = _barred(line, rule)
        cap = 0 if obstacle else line.amount
        shareable += cap
        if rule is not None and cap:
            cap, obstacle = _above_floor(line, rule.min_line_price)
        if obstacle is not None:
            obstacles.append(obstacle)
        caps.append(cap)
    if rule is None:
        return Payable(tuple(caps), sum(caps), obstacles=tuple(obstacles))
    total, narrowest = _of_receipt(rule, sum(caps), shareable, basket.total)
    if narrowest is not None:
        obstacles.append(narrowest)
    return Payable(tuple(caps), total, rule.order, rule.code, rule.version, tuple(obstacles))


def pay(allowed: Payable, basket: Basket, points: int) -> list[int]:
    """What `points` (at most `allowed.total`) pay of each line of `basket`.

    By value, largest remainder, ties to the lower line number; what a line may not take goes to
    the others. The parts add up, whatever the order of the lines (C27, C28).
    """
    return share_out(points, allowed.by_line, basket.lines)


def share_out(points: int, caps: Sequence[int], lines: Sequence[Line]) -> list[int]:
    """`pay` for the `caps` of lines alone. Raises ValueError for more points than they take."""
    if points > sum(caps):
        raise ValueError(f"{points} points cannot pay lines that take {sum(caps)}")
    paid = [0] * len(lines)
    open_ = [i for i, cap in enumerate(caps) if cap and lines[i].amount]
    if points == 0:
        return paid
    weight = sum(lines[i].amount for i in open_)
    if any(caps[i] * weight < points * lines[i].amount for i in open_):
        # The lines that are capped at the smallest part of their value are full first.
        open_.sort(key=lambda i: Fraction(caps[i], lines[i].amount), reverse=True)
        while open_ and caps[open_[-1]] * weight <= points * lines[open_[-1]].amount:
            full = open_.pop()
            paid[full] = caps[full]
            points -= caps[full]
            weight -= lines[full].amount
    open_.sort(key=lambda i: lines[i].number)
    if points:
        parts = split(points, [lines[i].amount for i in open_])
        for i, part in zip(open_, parts, strict=True):
            paid[i] = part
    return paid


def _barred(line: Line, rule: RedemptionRule | None) -> Obstacle | None:
    """Why points may pay nothing of a line."""
    if line.excluded:
        return Obstacle(line.number, "nothing", "excluded_product")
    if line.legal is not None and (rule is None or line.legal in rule.legal):
        return Obstacle(line.number, "nothing", "legal", {"kind": line.legal})
    if rule is None:
        return None
    if not rule.lines.takes(line):
        return Obstacle(line.number, "nothing", _not_taken(line, rule))
    when = rule.lines.when
    if when is not None and not line_holds(when, line):
        return Obstacle(line.number, "nothing", "line_condition", {"condition": when})
    return None


def _not_taken(line: Line, rule: RedemptionRule) -> ObstacleCode:
    if rule.lines.exclude_promo and line.promo:
        return "promo_line"
    excluded = line.sku in rule.lines.exclude_products
    if excluded or not rule.lines.exclude_groups.isdisjoint(line.ancestry):
        return "excluded_goods"
    return "other_goods"


def _above_floor(line: Line, unit_price: int) -> tuple[int, Obstacle | None]:
    """What is above the least price of a unit, rounded so that no unit is sold below it."""
    floor = -(-unit_price * line.quantity // UNIT)
    cap = max(0, line.amount - floor)
    if floor == 0:
        return cap, None
    outcome: Literal["reduced", "nothing"] = "reduced" if cap else "nothing"
    return cap, Obstacle(line.number, outcome, "min_line_price", {"price": unit_price})


def _of_receipt(
    rule: RedemptionRule, lines: int, shareable: int, total: int
) -> tuple[int, Obstacle | None]:
    """The least of what the lines take, the share of them, and all but the part in money."""
    share = shareable * rule.max_share // SHARE_UNIT
    beside_money = max(0, total - rule.min_money)
    most = min(lines, share, beside_money)
    if most == lines:
        return most, None
    outcome: Literal["reduced", "nothing"] = "reduced" if most else "nothing"
    if most == share:
        return most, Obstacle(None, outcome, "max_share", {"share": rule.max_share})
    return most, Obstacle(None, outcome, "min_money", {"money": rule.min_money})
