"""`python -m bench`: the table of speed."""

from __future__ import annotations

import argparse
import statistics
import sys
from collections.abc import Sequence

import uvloop
from rich.console import Console
from rich.table import Table

from bench import audit, bare, bulk, campaigns, closing, growth, programs, reports
from bench.house import Database, api, make_database, memory_mib, server
from bench.load import Client, Run, drive, sale, some_sale
from bench.ungrouped import ungrouped_rate
from billing.common.embedded import EmbeddedPostgres

console = Console(width=110)

WARM_UP = 4
"""Unmeasured rounds before an empty and a full ledger are compared."""


async def opening(client: Client, database: Database) -> None:
    """Points for everybody, as finance would give them."""
    for at in range(0, len(database.customers), 1000):
        operations = [
            {
                "kind": "adjustment",
                "idempotency_key": f"open-{one}",
                "body": {
                    "customer": {"customer_id": str(one)},
                    "points": "10000.00",
                    "reason": "bench",
                },
            }
            for one in database.customers[at : at + 1000]
        ]
        async with client.connection() as connection:
            status, body = await connection.ask(
                client.post("/v1/batches", {"operations": operations})
            )
        if status != 200:
            raise RuntimeError(f"answer {status}: {body[:300]!r}")


class Rows:
    """The table: what, the median of its rounds, the spread, and how it compares."""

    def __init__(self) -> None:
        self.table = Table("What", "median", "min to max", "compared", title="Speed")

    def add(self, what: str, values: Sequence[float], unit: str, compared: str = "") -> float:
        middle = statistics.median(values)
        spread = f"{min(values):,.1f} to {max(values):,.1f}" if len(values) > 1 else ""
        self.table.add_row(what, f"{middle:,.1f} {unit}", spread, compared)
        console.print(f"  {what}: {middle:,.1f} {unit} {compared}")
        return middle


async def till(rows: Rows, postgres: EmbeddedPostgres, args: argparse.Namespace) -> None:
    """HTTP beside ungrouped, bulk beside HTTP, a lone request beside a bare commit."""
    database = await make_database(postgres, "till", 24_000)
    grouped: list[Run] = []
    single: list[float] = []
    noop: list[float] = []
    batches: list[float] = []
    async with api(database) as (client, process), database.services() as services:
        await opening(client, database)

        def request() -> bytes:
            return client.post("/v1/receipts", some_sale(database.customers))

        await drive(client, request, connections=64, seconds=args.seconds)
        memory = [memory_mib(process)]
        for _ in range(args.rounds):
            grouped.append(await drive(client, request, connections=64, seconds=args.seconds))
            single.append(await ungrouped_rate(services, database, int(args.seconds * 600)))
            live = client.get("/health/live")
            noop.append((await drive(client, lambda: live, connections=64, seconds=2)).rate)  # noqa: B023
            batches.append(await bulk.batch_rate(client, database, int(args.seconds * 8)))
            memory.append(memory_mib(process))
        http = statistics.median(run.rate for run in grouped)
        base = rows.add("in process, one at a time, 8 connections", single, "/s")
        rows.add(
            "HTTP receipts, 30 % redeeming, 64 connections",
            [run.rate for run in grouped],
            "/s",
            f"{http / base:.2f} × one at a time",
        )
        rows.add("  their p50", [run.p50 for run in grouped], "ms")
        rows.add("  their p99", [run.p99 for run in grouped], "ms")
        idle = statistics.median(noop)
        rows.add("no-op requests of the same server", noop, "/s", f"receipts are {http / idle:.2f}")
        bulk_rate = rows.add(
            f"accruals in batches of 1,000, {bulk.AT_ONCE} connections, customers apart",
            batches,
            "/s",
            f"{statistics.median(batches) / http:.2f} × HTTP receipts",
        )
        copied = await bare.copy_rate(database, 10_000)
        rows.add("the same rows by COPY", [copied], "/s", f"batches are {bulk_rate / copied:.2f}")
        lone = [
            await drive(
                client,
                lambda: client.post("/v1/receipts", sale(database.customers[0], redeem=False)),
                connections=1,
                seconds=3,
            )
            for _ in range(args.rounds)
        ]
        floor = [await bare.bare_commit_ms(database) for _ in range(args.rounds)]
        commit = rows.add("bare durable commit of the same rows, p50", floor, "ms")
        alone = statistics.median(run.p50 for run in lone)
        rows.add("a lone HTTP accrual, p50", [r.p50 for r in lone], "ms", f"{alone / commit:.2f} ×")
        rows.add("memory of the API, first to last round", memory, "MiB")


async def grown(rows: Rows, postgres: EmbeddedPostgres, args: argparse.Namespace) -> None:
    """An empty ledger beside a full one, in turns."""
    empty = await make_database(postgres, "empty", 5000)
    full = await make_database(postgres, "grown", 5000)
    console.print(f"  filling a ledger with {args.postings:,} postings; this takes minutes …")
    count = await growth.grow(full, args.postings)
    await audit.measure(rows.add, full, count, rounds=1)
    rates: dict[str, list[float]] = {"empty": [], "full": []}
    async with api(empty) as (one, _), api(full) as (other, _):
        await opening(one, empty)
        # A chain's pages are in memory, and most receipts come long after a checkpoint: both are
        # driven for a while first.
        for round_ in range(-WARM_UP, args.rounds):
            for name, client, database in (("empty", one, empty), ("full", other, full)):
                run = await drive(
                    client,
                    lambda: client.post("/v1/receipts", some_sale(database.customers)),  # noqa: B023
                    connections=64,
                    seconds=args.seconds,
                )
                if round_ >= 0:
                    rates[name].append(run.rate)
    base = rows.add("HTTP receipts, empty ledger", rates["empty"], "/s")
    ratio = statistics.median(rates["full"]) / base
    rows.add(f"HTTP receipts, {count:,} postings", rates["full"], "/s", f"{ratio:.2f} × empty")
    for name, (pages, plan) in (await growth.plans(full)).items():
        console.print(f"  plan of {name}: {pages} pages; {plan}")
    await reports.measure(rows.add, full, count, rounds=args.rounds, seconds=args.seconds)


async def main(args: argparse.Namespace) -> None:
    rows = Rows()
    with server() as postgres:
        if not args.only_night:
            await till(rows, postgres, args)
            await programs.measure(
                rows.add, postgres, opening, rounds=args.rounds, seconds=args.seconds
            )
        if args.audited_postings:
            sealed = await make_database(postgres, "sealed", 1000)
            count = await growth.grow(sealed, args.audited_postings)
            await audit.measure(rows.add, sealed, count, rounds=args.rounds)
            await closing.measure(rows.add, sealed, args.rounds)
        if args.crowd:
            await campaigns.measure(
                rows.add, postgres, opening, size=args.crowd, rounds=args.rounds,
                seconds=args.seconds,
            )  # fmt: skip
        if args.postings and not args.only_night:
            await grown(rows, postgres, args)
    console.print(rows.table)
    console.print(
        f"Medians of {args.rounds} rounds that took turns on this machine, load generator "
        "beside; compare within one table only. The empty and the full ledger were each driven "
        f"for {WARM_UP * args.seconds:.0f} s before, from a checkpoint on."
    )


if __name__ == "__main__":
    parser = argparse.ArgumentParser(prog="python -m bench", description=__doc__)
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--seconds", type=float, default=5, help="length of one stretch of load")
    parser.add_argument(
        "--postings", type=int, default=10_000_000, help="size of the full ledger; 0 leaves it out"
    )
    parser.add_argument(
        "--audited-postings",
        type=int,
        default=1_000_000,
        help="size of the ledger to audit; 0 leaves it out",
    )
    parser.add_argument(
        "--crowd",
        type=int,
        default=1_000_000,
        help="customers of the campaign, and lots that activate and expire; 0 leaves them out",
    )
    parser.add_argument("--only-night", action="store_true", help="only what workers do")
    uvloop.run(main(parser.parse_args()))
    sys.exit(0)
