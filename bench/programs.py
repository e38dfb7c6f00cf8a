"""What programs cost: the calculation alone, quotes, and sales under twenty programs."""

from __future__ import annotations

import time
from collections.abc import Iterator, Sequence
from datetime import UTC, datetime
from typing import Any
from uuid import UUID

import asyncpg
import msgspec

from bench.house import Database
from bench.load import sale
from billing.programs.book import Running
from billing.programs.calculation import calculate
from billing.programs.model import (
    Basket,
    Line,
    LineFilter,
    Member,
    Percent,
    ProgramVersion,
    Rounding,
    Scope,
    Situation,
)

PROGRAMS = (1, 10, 100)
LINES = (3, 30, 300)
_SINCE = "2020-01-01T00:00:00Z"
_PERCENT = {"kind": "percent", "value": "1"}


def calculations() -> Iterator[tuple[str, int, int, float]]:
    """(which programs, how many, lines, microseconds of processor time): medians of five.

    `for all goods`: each program gives to each line. `for a group each`: each has a product group
    of its own, as marketers' programs mostly do; the lines are of a hundred groups.
    """
    for kind in ("for all goods", "for a group each"):
        for count in PROGRAMS:
            running = Running.of(_program(n, own=kind != "for all goods") for n in range(count))
            for lines in LINES:
                yield kind, count, lines, _microseconds(running, _basket(lines))


def _microseconds(running: Running, basket: Basket) -> float:
    situation, paid = Situation(basket, Member(UUID(int=1))), [0] * len(basket.lines)
    times = max(2, 20_000 // (len(running) * len(basket.lines)))
    found = []
    for _ in range(5):
        started = time.process_time()
        for _ in range(times):
            calculate(running.for_goods(basket), situation, paid)
        found.append((time.process_time() - started) / times * 1e6)
    return sorted(found)[2]


def _program(number: int, *, own: bool) -> ProgramVersion:
    return ProgramVersion(
        code=f"p{number:03}",
        version=1,
        name="p",
        valid_from=datetime(2020, 1, 1, tzinfo=UTC),
        valid_to=None,
        scope=Scope(frozenset(("shop",))),
        lines=LineFilter(groups=frozenset((f"g{number}",)) if own else frozenset()),
        reward=Percent(10_000),
        base="net_of_points",
        rounding=Rounding(),
        bucket="base",
    )


def _basket(count: int) -> Basket:
    lines = tuple(
        Line(n, f"s{n}", f"g{n % 100}", (f"g{n % 100}", "goods"), 99_99)
        for n in range(1, count + 1)
    )
    return Basket("shop", "m1", "moscow", "Europe/Moscow", datetime.now(UTC), lines)


def _twenty() -> Iterator[tuple[str, dict[str, Any]]]:
    """Twenty programs as a chain has them. Of a bench receipt (dairy, meat, bread; 1,433.34) four
    give something; with the percent program of every bench there are 21."""
    here: dict[str, Any] = {"channels": ["shop"]}
    yield "dairy", {"scope": here, "lines": {"groups": ["dairy"]}, "reward": _PERCENT}
    yield "meat", {"scope": here, "lines": {"groups": ["meat"]}, "reward": _PERCENT}
    yield "hundred", {"scope": here, "reward": {"kind": "per_amount", "value": "1", "step": "100"}}
    yield (
        "twice",
        {
            "scope": here,
            "lines": {"groups": ["bread"]},
            "reward": {"kind": "multiplier", "value": "2", "programs": ["base-5"]},
        },
    )
    for n in range(4):
        when = {"field": "receipt.total", "op": ">=", "value": f"{n + 3}000"}
        yield f"big-{n}", {"scope": here, "when": {"all": [when]}, "reward": _PERCENT}
    for n in range(4):
        when = {"field": "customer.tags", "op": "has", "value": f"segment-{n}"}
        yield f"tag-{n}", {"scope": here, "when": when, "reward": _PERCENT}
    for n in range(4):
        elsewhere = {"channels": ["shop"], "store_groups": [f"region-{n}"]}
        yield f"region-{n}", {"scope": elsewhere, "reward": _PERCENT}
    for n in range(4):
        yield f"goods-{n}", {
            "scope": here, "lines": {"groups": [f"other-{n}"]}, "reward": _PERCENT,
        }  # fmt: skip


async def publish_twenty(database: Database) -> int:
    """Put the programs into the database, as published long ago; how many there are."""
    definitions = list(_twenty())
    connection = await asyncpg.connect(database.superuser_url)
    await connection.execute(
        "INSERT INTO billing.product_groups (code, name)"
        " SELECT 'other-' || n, 'other' FROM generate_series(0, 3) AS n;"
        'INSERT INTO billing.stores (code, name, channel, "group")'
        " SELECT 'r' || n, 'r', 'shop', 'region-' || n FROM generate_series(0, 3) AS n"
    )
    for code, definition in definitions:
        whole = {"name": code, "type": "accrual", "valid_from": _SINCE, **definition}
        await connection.execute("INSERT INTO billing.programs (code) VALUES ($1)", code)
        await connection.execute(
            "INSERT INTO billing.program_versions (code, version, definition, author,"
            " effective_from, published_at, publisher)"
            " VALUES ($1, 1, $2::jsonb, 'bench', '2020-01-01', now(), 'bench')",
            code,
            msgspec.json.encode(whole).decode(),
        )
    await connection.execute(
        "UPDATE billing.catalog_revision SET revision = revision + 1, structure = structure + 1"
    )
    await connection.close()
    return len(definitions)


def quote(customers: Sequence[UUID], number: int) -> dict[str, Any]:
    """A quote of the receipt that sales post, points as many as may pay."""
    return sale(customers[number % len(customers)], redeem=False) | {"redeem": "max"}
