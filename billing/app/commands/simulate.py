"""`bonus simulate`: what a draft would have cost, without waiting for a worker."""

from __future__ import annotations

import argparse
import asyncio
import sys
from collections.abc import Iterable
from typing import Any

import msgspec
from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, TextColumn, TimeElapsedColumn
from rich.progress import Progress as Bar
from rich.table import Table

from billing.app.moments import moment
from billing.catalog.service import Catalog
from billing.common.auth import NOBODY
from billing.common.db import Database
from billing.common.errors import NotFound, ValidationFailed
from billing.common.settings import Settings
from billing.common.wire import Code, encode, write_hook
from billing.jobs.model import Progress
from billing.simulations.schemas import CostOut, PointsOut, SimulateIn, SimulationOut
from billing.simulations.service import parameters_of
from billing.simulations.simulator import Simulator
from ledger.service import Ledger

NEEDS = ("DATABASE_URL",)
LOOK_EVERY_S = 0.2
SHOWN = 10

DESCRIPTION = """\
Calculates a version of a program, the newest draft if none is named, over the receipts posted in a
period, and shows it beside what the program did give. Nothing is written. The same as
POST /v1/programs/CODE/simulate, in this process; docs/simulation.md says how it counts."""

EXAMPLES = """\
examples:
  bonus simulate base-5 --from 2026-10-01 --to 2026-11-01
  bonus simulate base-5 --from 2026-10-01 --to 2026-11-01 --store moscow-1 --json"""


def add(subparsers: Any) -> None:
    parser = subparsers.add_parser(
        "simulate",
        help="show what a program would have cost over posted receipts",
        description=DESCRIPTION,
        epilog=EXAMPLES,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument("code", help="the program")
    parser.add_argument(
        "--from", dest="since", required=True, help="a date or time; the receipts' first"
    )
    parser.add_argument("--to", dest="until", required=True, help="a date or time, exclusive")
    parser.add_argument("--channel", help="only receipts of this channel")
    parser.add_argument("--store", help="only receipts of this store")
    parser.add_argument("--version", type=int, help="this version instead of the newest")
    parser.add_argument("--json", action="store_true", help="print the result as JSON")


def run(args: argparse.Namespace, settings: Settings) -> int:
    try:
        body = SimulateIn(
            from_=moment(args.since, "--from", settings.timezone),
            to=moment(args.until, "--to", settings.timezone),
            channel=args.channel and Code.from_wire(args.channel),
            store=args.store and Code.from_wire(args.store),
            version=args.version,
        )
        result = asyncio.run(_run(args.code, body, settings))
    except (ValidationFailed, NotFound) as error:
        print(f"bonus simulate: {error.detail}", file=sys.stderr)  # noqa: T201
        return 1
    except ValueError as error:
        print(f"bonus simulate: {error}", file=sys.stderr)  # noqa: T201
        return 2
    if args.json:
        print(encode(result).decode())  # noqa: T201
    else:
        _tell(result)
    return 0


async def _run(code: str, body: SimulateIn, settings: Settings) -> SimulationOut:
    database = Database(settings.database_url, application="bonus-simulate", size=1)
    catalog = Catalog(database)
    try:
        await catalog.refresh()
        given = await parameters_of(database, catalog, code, body, NOBODY, "en")
        async with Ledger(settings.database_url, readers=1, reporters=1) as ledger:
            simulator = Simulator(database, ledger.report_pool, settings.timezone.key)
            progress = Progress()
            parameters = msgspec.to_builtins(given, enc_hook=write_hook)
            work = asyncio.ensure_future(simulator.run(progress, parameters))
            with _bar() as bar:
                task = bar.add_task("Receipts", total=None)
                while not (await asyncio.wait([work], timeout=LOOK_EVERY_S))[0]:
                    bar.update(task, completed=progress.done, total=progress.total)
            return await work
    finally:
        await database.close()


def _bar() -> Bar:
    return Bar(
        TextColumn("{task.description}"),
        BarColumn(),
        MofNCompleteColumn(),
        TimeElapsedColumn(),
        console=Console(stderr=True),
        transient=True,
    )


def _tell(result: SimulationOut) -> None:
    console = Console()
    console.print(
        f"{result.program}, version {result.version}: {result.receipts:,} receipts of "
        f"{result.customers:,} customers, {result.lines:,} lines."
    )
    table = Table("points", "", "receipts", "draft", "actual", "difference")
    for column in table.columns[2:]:
        column.justify = "right"
    _row(table, "this program", "", result.receipts, result.points)
    _row(table, "all programs", "", result.receipts, result.all_programs)
    for kind in ("channel", "store", "store_group", "product_group"):
        _rows(table, kind.replace("_", " "), getattr(result.cost, kind))
    console.print(table)
    console.print(
        f"{result.winners.customers:,} customers would get {result.winners.points} more, "
        f"{result.losers.customers:,} {result.losers.points.lstrip('-')} less."
    )


def _rows(table: Table, kind: str, costs: Iterable[CostOut]) -> None:
    for number, cost in enumerate(costs):
        if number < SHOWN:
            points = PointsOut(cost.draft, cost.actual, cost.difference)
            _row(table, "" if number else kind, cost.code, cost.receipts, points)


def _row(table: Table, kind: str, code: str, receipts: int, points: PointsOut) -> None:
    table.add_row(kind, code, f"{receipts:,}", points.draft, points.actual, points.difference)
