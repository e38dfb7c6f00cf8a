"""What programs cost: the calculation alone, quotes, and sales under twenty programs."""

from __future__ import annotations

import itertools
import statistics
import time
from collections.abc import Awaitable, Callable, Iterator, Sequence
from datetime import UTC, datetime
from typing import Any, cast
from uuid import UUID, uuid4

import asyncpg
import msgspec

from bench.house import Database, api, make_database
from bench.load import Client, drive, sale, some_sale
from bench.ungrouped import PRINCIPAL
from billing.common.decoding import decode_body
from billing.common.embedded import EmbeddedPostgres
from billing.programs.book import Book, Edition, Running
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
from billing.receipts.sale import SaleRequest
from billing.receipts.schemas import SaleIn

Add = Callable[[str, Sequence[float], str, str], float]
Opening = Callable[[Client, Database], Awaitable[None]]

PROGRAMS = (1, 10, 100)
LINES = (3, 30, 300)
ALL, EACH = "for all goods", "for a group each"
_SINCE = "2020-01-01T00:00:00Z"
_PERCENT = {"kind": "percent", "value": "1"}


def calculations() -> Iterator[tuple[str, int, int, float]]:
    """(which programs, how many, lines, microseconds of processor time): medians of five.

    `ALL`: each program gives to each line. `EACH`: each has a product group of its own, as
    marketers' programs mostly do; the lines are of a hundred groups.
    """
    for kind in (ALL, EACH):
        for count in PROGRAMS:
            running = Running.of(_program(n, own=kind == EACH) for n in range(count))
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


async def _hundred_groups(database: Database) -> None:
    connection = await asyncpg.connect(database.superuser_url)
    await connection.execute(
        "INSERT INTO billing.product_groups (code, name)"
        " SELECT 'g' || n, 'a group' FROM generate_series(0, 99) AS n;"
        "UPDATE billing.catalog_revision SET revision = revision + 1, structure = structure + 1"
    )
    await connection.close()


def quote(customers: Sequence[UUID], number: int) -> dict[str, Any]:
    """A quote of the receipt that sales post, points as many as may pay."""
    return sale(customers[number % len(customers)], redeem=False) | {"redeem": "max"}


async def measure(
    add: Add, postgres: EmbeddedPostgres, opening: Opening, *, rounds: int, seconds: float
) -> None:
    """Sales under one program and under twenty-one, in turns; quotes; the calculation alone."""
    one, many = [await make_database(postgres, name, 5000) for name in ("one", "many")]
    await _hundred_groups(one)
    count = 1 + await publish_twenty(many)
    rates: dict[str, list[float]] = {"one": [], "many": [], "quotes": []}
    async with api(one) as (client, _), api(many) as (other, _):
        await opening(client, one)
        await opening(other, many)
        ways: tuple[tuple[str, Client, str, Callable[[int], dict[str, Any]]], ...] = (
            ("one", client, "/v1/receipts", lambda _: some_sale(one.customers)),
            ("many", other, "/v1/receipts", lambda _: some_sale(many.customers)),
            ("quotes", other, "/v1/quotes", lambda number: quote(many.customers, number)),
        )
        for round_ in range(-1, rounds):
            for name, caller, path, make in ways:
                rate = await _rate(caller, path, make, seconds)
                if round_ >= 0:
                    rates[name].append(rate)
    base = add("HTTP receipts under one program", rates["one"], "/s", "")
    share = f"{statistics.median(rates['many']) / base:.2f} × one program"
    sale_rate = add(
        f"HTTP receipts under {count} programs, 5 of which give", rates["many"], "/s", share
    )
    share = f"{statistics.median(rates['quotes']) / sale_rate:.2f} × those receipts"
    add(f"HTTP quotes under {count} programs, explained", rates["quotes"], "/s", share)
    for kind, programs, lines, microseconds in calculations():
        what = f"calculation, {programs} programs {kind}, {lines} lines"
        if kind != EACH:
            add(what, [microseconds], "us", "")
            continue
        whole = await _sale_microseconds(one, programs, lines)
        add(what, [microseconds], "us", f"{microseconds / whole:.0%} of a sale's in this process")


async def _rate(
    client: Client, path: str, make: Callable[[int], dict[str, Any]], seconds: float
) -> float:
    numbers = itertools.count()
    run = await drive(
        client, lambda: client.post(path, make(next(numbers))), connections=64, seconds=seconds
    )
    return run.rate


class _Fixed:
    """A book of these programs alone."""

    def __init__(self, editions: list[Edition]) -> None:
        self._book = Book(editions, 1)

    async def current(self) -> Book:
        return self._book


async def _sale_microseconds(database: Database, count: int, lines: int) -> float:
    """Processor time of this process for a sale of so many lines: read, calculated, written."""
    programs = [_program(number, own=True) for number in range(count)]
    sales = max(4, 2000 // (lines * (1 + count // 10)))
    async with database.services() as services:
        checkout = services.sales._checkout
        checkout._book = cast(Any, _Fixed([Edition(one, one.valid_from, None) for one in programs]))
        started = time.process_time()
        commands = []
        for number in range(sales):
            body = sale(database.customers[number], redeem=False)
            body["receipt"]["lines"] = [
                {"line": n, "sku": f"s{n}", "group": f"g{n % 100}", "quantity": "1",
                 "price": "99.99", "amount": "99.99"}
                for n in range(1, lines + 1)
            ]  # fmt: skip
            raw = msgspec.json.encode(body)
            request = SaleRequest(PRINCIPAL, uuid4().hex, None, "/v1/receipts", raw)
            commands.append(await services.sales.prepare(request, decode_body(raw, SaleIn)))
        await services.ledger.execute_many(commands)
        return (time.process_time() - started) / sales * 1e6
