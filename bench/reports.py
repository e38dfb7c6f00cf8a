"""Reports over ten million postings: roll-ups, as-of balances, export, and tills meanwhile."""

from __future__ import annotations

import asyncio
import statistics
import tempfile
import time
from collections.abc import Awaitable, Callable
from datetime import UTC, datetime
from pathlib import Path
from typing import Any
from zoneinfo import ZoneInfo

from bench.house import Database, api
from bench.load import Client, drive, some_sale
from bench.processor import Processor
from billing.common.db import connect
from billing.exports.service import export_journal
from billing.exports.store import HORIZON, ROWS
from ledger.reads import balance_as_of
from ledger.rollups import roll_up
from ledger.service import Ledger

Add = Callable[..., float]
ZONE = ZoneInfo("Europe/Moscow")
AS_OF = datetime(2026, 2, 15, tzinfo=UTC)
ASKED = 500
MONTH = ("2026-02-01T00:00:00+03:00", "2026-03-01T00:00:00+03:00")


async def measure(add: Add, database: Database, count: int, *, rounds: int, seconds: float) -> None:
    """Rows of the table, on a grown database."""
    async with Ledger(database.url) as ledger:
        began = time.perf_counter()
        while await roll_up(ledger, ZONE):
            pass
        took = time.perf_counter() - began
        cells = await ledger.pool.fetchval("SELECT count(*) FROM ledger.rollups")
        add("roll-ups from nothing", [count / took], "postings/s", f"{cells:,} cells")
        await _as_of(add, ledger, database)
    await _exports(add, database)
    async with api(database) as (client, _):
        await _as_of_by_http(add, client, database)
        await _reports(add, client, rounds)
        await _tills(add, client, database, rounds, seconds)


async def _as_of(add: Add, ledger: Ledger, database: Database) -> None:
    """By the ledger's door: of both times, or of one of them."""
    now = ledger.clock()
    async with ledger.pool.acquire() as connection:  # Whoever reads alone gets it again.
        processor = Processor(connection)
    for name, as_of, known_at in (
        ("from disk", now, now),
        ("in memory", now, now),
        ("by when it happened", AS_OF, now),
        ("by when it was recorded", now, AS_OF),
        ("by both", AS_OF, AS_OF),
    ):
        before = processor.client() + processor.servers()
        times = [
            await _timed(balance_as_of(ledger, customer, as_of, known_at))
            for customer in database.customers[:ASKED]
        ]
        spent = (processor.client() + processor.servers() - before) / len(times) * 1000
        what = f"balance of a customer as of a time, {name}, p50"
        add(what, [statistics.median(times)], "ms", f"{spent:.2f} ms of processor time")


async def _as_of_by_http(add: Add, client: Client, database: Database) -> None:
    """The same as finance asks, on one connection, beside the balance of now."""
    at = AS_OF.isoformat().replace("+", "%2B")
    found: dict[str, float] = {}
    async with client.connection() as connection:
        for query in ("", f"?as_of={at}", f"?known_at={at}"):
            times = []
            for customer in database.customers[:ASKED]:
                request = client.get(f"/v1/customers/{customer}/balance{query}")
                began = time.perf_counter()
                status, body = await connection.ask(request)
                times.append((time.perf_counter() - began) * 1000)
                if status != 200:
                    raise RuntimeError(f"answer {status}: {body[:300]!r}")
            found[query.partition("=")[0].strip("?") or "now"] = statistics.median(times)
    for name, middle in found.items():
        compared = f"{middle / found['now']:.2f} × that of now"
        add(f"  over HTTP, {name}, p50", [middle], "ms", compared)


async def _reports(add: Add, client: Client, rounds: int) -> None:
    first, last = MONTH
    period = f"from={first}&to={last}".replace("+", "%2B")
    for name, path in (
        ("trial balance of a month, by store", f"trial-balance?{period}&by=store"),
        ("roll-forward of a month, by store", f"liability?{period}&by=store"),
        ("roll-forward of all time", "liability"),
        ("trial balance as of a moment within a day", f"trial-balance?as_of={first[:11]}12:34:56Z"),
        ("programs of a month", f"programs?{period}"),
        ("ageing", "ageing"),
        ("ageing, by store", "ageing?by=store"),
        ("a page of a store's postings of a month", f"postings?{period}&store=m7"),
        ("a page of a store's postings of all time", "postings?store=m7"),
        ("a page of all redemptions", "postings?kind=redeem"),
        ("a page of the general ledger of all time", "general-ledger"),
    ):
        times = [await _timed(_ask(client, f"/v1/ledger/{path}")) for _ in range(rounds)]
        add(name, times, "ms")


async def _ask(client: Client, path: str) -> None:
    async with client.connection() as connection:
        status, body = await connection.ask(client.get(path))
    if status != 200:
        raise RuntimeError(f"answer {status}: {body[:300]!r}")


async def _timed(work: Awaitable[Any]) -> float:
    began = time.perf_counter()
    await work
    return (time.perf_counter() - began) * 1000


async def _exports(add: Add, database: Database) -> None:
    connection = await connect(database.url)
    with tempfile.TemporaryDirectory() as folder:
        place = Path(folder)
        limit = await connection.fetchval(HORIZON)
        began = time.perf_counter()
        tag = await connection.copy_from_query(
            ROWS, 0, limit, output=str(place / "plain.csv"), format="csv", timeout=None
        )
        rows = int(tag.split()[1])
        copied = rows / (time.perf_counter() - began)
        add("journal by COPY to CSV", [copied], "postings/s")
        (place / "plain.csv").unlink()
        began = time.perf_counter()
        await export_journal(connection, place / "parquet", "parquet")
        rate = rows / (time.perf_counter() - began)
        add("journal exported to Parquet", [rate], "postings/s", f"{rate / copied:.2f} × COPY")
    await connection.close()


async def _tills(add: Add, client: Client, database: Database, rounds: int, seconds: float) -> None:
    """Tills at a pace a chain has, with and without reports beside."""

    def sale() -> bytes:
        return client.post("/v1/receipts", some_sale(database.customers))

    await drive(client, sale, connections=8, seconds=seconds)
    idle, busy = [], []
    for _ in range(rounds):
        idle.append((await drive(client, sale, connections=8, seconds=seconds)).p99)
        reporting = asyncio.create_task(_report_for_ever(client))
        busy.append((await drive(client, sale, connections=8, seconds=seconds)).p99)
        reporting.cancel()
        await asyncio.gather(reporting, return_exceptions=True)
    alone = add("tills' p99, 8 connections", idle, "ms")
    add("  with reports beside", busy, "ms", f"{statistics.median(busy) / alone:.2f} × without")


async def _report_for_ever(client: Client) -> None:
    first, last = MONTH
    path = f"/v1/ledger/liability?from={first}&to={last}&by=store".replace("+", "%2B")
    while True:
        await _ask(client, path)
