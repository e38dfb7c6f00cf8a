"""`bonus report`: finance's reports on the screen or as files."""

from __future__ import annotations

import argparse
import asyncio
import sys
from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import Any, Final

import msgspec
from rich.console import Console
from rich.table import Table as Shown

from billing.app.moments import moment
from billing.catalog.service import Catalog
from billing.common.auth import NOBODY
from billing.common.db import Database
from billing.common.errors import ValidationFailed
from billing.common.settings import Settings
from billing.common.wire import encode, read_hook
from billing.finance.files import WRITERS, write_file
from billing.finance.query import DIMENSIONS
from billing.finance.reports import Reports
from billing.finance.schemas import (
    AgeingQuery,
    EntriesQuery,
    LiabilityQuery,
    PostingsQuery,
    ProgramsQuery,
    TrialBalanceQuery,
)
from billing.finance.table import Table, document, written
from ledger.service import Ledger

NEEDS = ("DATABASE_URL",)
FAILED = 1
WIDTH: Final = 1000

DESCRIPTION = """\
The same reports as GET /v1/ledger/…, read from the database directly:

  trial-balance   debits, credits and balance of every account
  liability       opening + accrued - redeemed - expired + adjusted + transferred = closing
  ageing          what is owed, by when it expires
  programs        issuance, redemption and cost by program
  general-ledger  every posting of an account, or of all that is owed, with the running balance
  postings        every posting

Times are dates (their beginning in the chain's time zone) or times with offset; --from is
inclusive, --to is not. An empty filter (--store '') asks for what has none."""

EXAMPLES = """\
examples:
  bonus report liability --from 2026-10-01 --to 2026-11-01 --by store
  bonus report trial-balance --as-of 2026-10-01 --format xlsx --output trial.xlsx
  bonus report general-ledger --customer-id 0196f3c8-0000-7000-8000-000000000000"""

_QUERIES: Final[dict[str, Any]] = {
    "trial-balance": TrialBalanceQuery,
    "liability": LiabilityQuery,
    "ageing": AgeingQuery,
    "programs": ProgramsQuery,
    "general-ledger": EntriesQuery,
    "postings": PostingsQuery,
}
_TIMES: Final = ("from", "to", "as_of", "known_at", "expires_from", "expires_to")
_FILTERS: Final = (
    "customer_id", "channel", "store", "store_group", "product_group", "product_tree", "program",
    "program_version", "bucket", "account", "movement", "kind", "debit", "credit", "expires",
    "time", "step", "point_value", "by",
)  # fmt: skip


def add(subparsers: Any) -> None:
    parser = subparsers.add_parser(
        "report",
        help="finance's reports, on the screen or as CSV, XLSX, Parquet, JSON",
        description=DESCRIPTION,
        epilog=EXAMPLES,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument("report", choices=list(_QUERIES))
    for name in _TIMES:
        parser.add_argument(f"--{name.replace('_', '-')}", dest=name, help="a date or a time")
    for name in _FILTERS:
        words = f"any of {', '.join(DIMENSIONS)}, with commas between" if name == "by" else None
        parser.add_argument(f"--{name.replace('_', '-')}", dest=name, help=words)
    parser.add_argument("--format", choices=["table", "json", *WRITERS], default="table")
    parser.add_argument("--output", type=Path, help="the file to write; needed for xlsx, parquet")


def run(args: argparse.Namespace, settings: Settings) -> int:
    if args.format in ("xlsx", "parquet") and args.output is None:
        print(f"bonus report: --format {args.format} needs --output", file=sys.stderr)  # noqa: T201
        return 2
    try:
        query = _query(args, settings)
        asyncio.run(_run(args, query, settings))
    except ValidationFailed as error:
        print(f"bonus report: {error.detail.replace('/query/', '--')}", file=sys.stderr)  # noqa: T201
        return 2
    except ValueError as error:
        print(f"bonus report: {error}", file=sys.stderr)  # noqa: T201
        return 2
    return 0


def _query(args: argparse.Namespace, settings: Settings) -> Any:
    """The query as the API would have decoded it. Raises ValidationFailed, ValueError."""
    given: dict[str, Any] = {
        name: moment(text, f"--{name.replace('_', '-')}", settings.timezone).isoformat()
        for name in _TIMES
        if (text := getattr(args, name)) is not None
    }
    given |= {name: value for name in _FILTERS if (value := getattr(args, name)) is not None}
    # A file's limits, not those of an answer in JSON.
    given["format"] = "csv"
    try:
        return msgspec.convert(given, _QUERIES[args.report], strict=False, dec_hook=read_hook)
    except msgspec.ValidationError as error:
        raise ValueError(str(error)) from None


async def _run(args: argparse.Namespace, query: Any, settings: Settings) -> None:
    database = Database(settings.database_url, application="bonus-report", size=1)
    catalog = Catalog(database)
    try:
        await catalog.refresh()
        async with Ledger(settings.database_url, readers=1, reporters=1) as ledger:
            reports = Reports(ledger, catalog.current(), settings.timezone)
            table = await _TABLES[args.report](reports, query)
            await _tell(table, args, settings)
    finally:
        await database.close()


async def _tell(table: Table, args: argparse.Namespace, settings: Settings) -> None:
    if args.format == "table":
        await _show(table, settings, args.output)
    elif args.format == "json":
        rows = [
            document(row, table.columns, settings.timezone)
            async for chunk in table.chunks
            for row in chunk
        ]
        made = encode({"report": table.report, "filters": table.filters, "rows": rows})
        _write(made.decode(), args.output)
    else:
        place = args.output or Path("/dev/stdout")
        await write_file(table, args.format, place, settings.timezone)


async def _show(table: Table, settings: Settings, output: Path | None) -> None:
    shown = Shown(title=table.title, caption=_filters(table))
    for column in table.columns:
        shown.add_column(column.name, justify="left" if column.kind == "text" else "right")
    async for chunk in table.chunks:
        for row in chunk:
            shown.add_row(*_cells(row, table, settings))
    if table.totals is not None:
        shown.add_section()
        shown.add_row(*_cells(table.totals, table, settings), style="bold")
    # As wide as it has to be: half a number is worse than a line that wraps.
    console = Console(markup=False, highlight=False, width=WIDTH)
    with console.capture() as captured:
        console.print(shown)
    _write(captured.get(), output)


def _filters(table: Table) -> str:
    return ", ".join(f"{name} {value}" for name, value in table.filters.items())


def _cells(row: tuple[Any, ...], table: Table, settings: Settings) -> list[str]:
    told = (
        written(value, column.kind, settings.timezone)
        for value, column in zip(row, table.columns, strict=True)
    )
    return ["" if one is None else str(one) for one in told]


def _write(text: str, output: Path | None) -> None:
    if output is None:
        print(text)  # noqa: T201
    else:
        output.write_text(text, encoding="utf-8")


async def _trial(reports: Reports, query: Any) -> Table:
    return await reports.trial_balance(query, NOBODY)


async def _liability(reports: Reports, query: Any) -> Table:
    return await reports.liability(query, NOBODY)


async def _ageing(reports: Reports, query: Any) -> Table:
    return await reports.ageing(query, NOBODY)


async def _programs(reports: Reports, query: Any) -> Table:
    return await reports.programs(query, NOBODY)


async def _entries(reports: Reports, query: Any) -> Table:
    return reports.general_ledger(query, NOBODY)


async def _postings(reports: Reports, query: PostingsQuery) -> Table:
    return reports.postings(query, reports.listed(query, NOBODY), NOBODY)


_TABLES: Final[dict[str, Callable[[Reports, Any], Awaitable[Table]]]] = {
    "trial-balance": _trial,
    "liability": _liability,
    "ageing": _ageing,
    "programs": _programs,
    "general-ledger": _entries,
    "postings": _postings,
}
