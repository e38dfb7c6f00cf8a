"""Programs, baskets and situations made in a line, for tests of the pure calculation."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Any
from uuid import UUID

from billing.programs.book import Running
from billing.programs.calculation import Trace, calculate
from billing.programs.limits import NOTHING_USED, Used
from billing.programs.model import (
    UNIT,
    Award,
    Basket,
    Fixed,
    Line,
    LineFilter,
    Member,
    Percent,
    PerUnit,
    ProgramVersion,
    Reward,
    Rounding,
    Scope,
    Situation,
)

NOON = datetime(2026, 11, 21, 12, tzinfo=UTC)
ANNA = Member(UUID(int=1))


def program(code: str, reward: Reward, **more: Any) -> ProgramVersion:
    """A program that runs always and everywhere; `only` and `never` are skus."""
    only, never = more.pop("only", ()), more.pop("never", ())
    lines = LineFilter(products=frozenset(only), exclude_products=frozenset(never))
    values: dict[str, Any] = {
        "version": 1,
        "name": code,
        "valid_from": datetime(2020, 1, 1, tzinfo=UTC),
        "valid_to": None,
        "scope": Scope(),
        "lines": lines,
        "base": "net_of_points",
        "rounding": Rounding("down", 1, "receipt"),
        "bucket": "base",
        **more,
    }
    return ProgramVersion(code=code, reward=reward, **values)


def percent(value: int) -> Percent:
    """So many percent."""
    return Percent(value * 10_000)


def per_unit(points: int) -> PerUnit:
    """So many whole points for a unit."""
    return PerUnit(points * 100)


def fixed(points: int) -> Fixed:
    """So many whole points."""
    return Fixed(points * 100)


def line(number: int, sku: str, amount: int, quantity: int = 1, **more: Any) -> Line:
    """A line of `quantity` whole units for `amount` whole units of money."""
    values: dict[str, Any] = {"group": sku, "ancestry": (sku,), **more}
    return Line(number=number, sku=sku, amount=amount * 100, quantity=quantity * UNIT, **values)


def basket(*lines: Line, **more: Any) -> Basket:
    values: dict[str, Any] = {
        "channel": "shop",
        "store": "m1",
        "store_group": None,
        "timezone": "Europe/Moscow",
        "occurred_at": NOON,
        **more,
    }
    return Basket(lines=lines, **values)


def awards(
    programs: list[ProgramVersion],
    bought: Basket,
    *,
    paid: list[int] | None = None,
    member: Member = ANNA,
    used: Used = NOTHING_USED,
    trace: Trace | None = None,
) -> tuple[Award, ...]:
    """What `programs` give for `bought`, found as the book finds them."""
    running = Running.of(programs)
    situation = Situation(bought, member)
    return calculate(
        running if trace is not None else running.for_goods(bought),
        situation,
        paid or [0] * len(bought.lines),
        used,
        trace,
    )


def total(*args: Any, **more: Any) -> int:
    """The sum of the awards in 1/100 points."""
    return sum(award.points for award in awards(*args, **more))
