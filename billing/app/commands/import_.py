"""`bonus import`: take over what another system kept."""

from __future__ import annotations

import argparse
import asyncio
import csv
import hashlib
import sys
from collections.abc import AsyncIterator, Callable, Iterator, Sequence
from contextlib import asynccontextmanager, contextmanager
from itertools import islice
from pathlib import Path
from typing import Any

import msgspec
from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeElapsedColumn

from billing.app.services import Services, build_services
from billing.common.auth import Principal
from billing.common.errors import Conflict, Problem
from billing.common.money import format_amount, parse_amount
from billing.common.settings import Settings
from billing.common.tasks import end
from billing.customers.secret import SecretKeyChanged
from billing.imports import store
from billing.imports.csvfile import OF_REJECTS, Reader, check_columns, check_name
from billing.imports.matching import Matcher, Registrar
from billing.imports.model import Control, Lot, Owned, Reject, Totals
from billing.imports.posting import GROUP, REJECTED, Poster
from billing.imports.reading import Record, records
from billing.imports.store import Import
from billing.operators.service import COMMAND_LINE
from ledger.ids import uuid7

NEEDS = ("DATABASE_URL", "BONUS_SECRET_KEY")

DESCRIPTION = """\
Posts the lots of a CSV file, each once: whatever is killed, the same command goes on. Reads the
whole file first, compares its totals with what the old system says, and posts nothing when they
differ. Lines that cannot be taken over go to a file, with the reason; put them right and import
that file under another name. docs/import.md describes the columns.

Exit code: 0 all lines are in the ledger, 1 some were rejected or nothing was posted, 2 wrong
arguments."""

EXAMPLES = """\
examples:
  bonus import balances lots.csv --name 1c-2026-11 --dry-run
  bonus import balances lots.csv --name 1c-2026-11 --rows 812340 --points 44120913.50"""


def add(subparsers: Any) -> None:
    parser = subparsers.add_parser("import", help="take over balances of another system")
    actions = parser.add_subparsers(dest="action", required=True, metavar="WHAT")
    balances = actions.add_parser(
        "balances",
        help="lots of customers, from a CSV file",
        description=DESCRIPTION,
        epilog=EXAMPLES,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    balances.add_argument("file", type=Path)
    balances.add_argument(
        "--name", required=True, help="the import's name, the same when it is started again"
    )
    balances.add_argument("--dry-run", action="store_true", help="say what would happen")
    balances.add_argument("--rows", type=int, help="how many lines the old system wrote")
    balances.add_argument("--points", help="the sum of all points, such as 1234.50")
    balances.add_argument(
        "--rejects", type=Path, help="where rejected lines go (default: FILE.rejects.csv)"
    )
    balances.add_argument(
        "--create-customers",
        action="store_true",
        help="register phones that are not known yet, as verified customers",
    )
    balances.add_argument("--delimiter", default=",", help="between cells (default: a comma)")
    balances.add_argument("--encoding", default="utf-8-sig", help="such as cp1251")


def run(args: argparse.Namespace, settings: Settings) -> int:
    try:
        name = check_name(args.name)
        points = parse_amount(args.points, signed=True) if args.points is not None else None
        control = Control(args.rows, points)
        with args.file.open(encoding=args.encoding, newline=""):
            pass
        if _rejects_of(args).exists() and _rejects_of(args).samefile(args.file):
            raise ValueError("--rejects is the file itself; name another one")
        if len(args.delimiter) != 1 or args.delimiter in '\r\n"':
            raise ValueError("--delimiter must be one character, such as ';' or $'\\t'")
    except (ValueError, OSError, LookupError) as error:
        print(f"bonus import: {error}", file=sys.stderr)  # noqa: T201
        return 2
    try:
        totals = asyncio.run(_run(settings, args, name, control))
    except (Problem, SecretKeyChanged) as error:
        print(f"bonus import: {error}", file=sys.stderr)  # noqa: T201
        return 1
    _tell(totals, args)
    return 1 if totals.rejected else 0


def _rejects_of(args: argparse.Namespace) -> Path:
    place: Path = args.rejects or Path(f"{args.file}.rejects.csv")
    return place


async def _run(settings: Settings, args: argparse.Namespace, name: str, control: Control) -> Totals:
    async with _services(settings) as services:
        file = _File(args.file, args.encoding, args.delimiter)
        await _same_file(services, name, file)
        with _bar() as bar:
            totals = _Pass(services, args, name, file).add_up(bar)
            control.compare(totals)
            work = _Pass(services, args, name, file)
            if args.dry_run:
                return await work.check(bar, totals.rows)
            await _claim(services, name, file)
            body = {"rows": totals.rows, "points": format_amount(totals.points)}
            await services.operators.of_command("import balances", name, body)
            return await work.post(bar, totals.rows)


class _File:
    """The file, read several times; its digest says whether it is the same one."""

    def __init__(self, path: Path, encoding: str, delimiter: str) -> None:
        self._path = path
        self._encoding = encoding
        self._delimiter = delimiter
        with path.open("rb") as content:
            self.digest = hashlib.file_digest(content, "sha256").digest()

    @contextmanager
    def rows(self) -> Iterator[tuple[Sequence[str], Iterator[Record]]]:
        """The header, and the other lines with their numbers; empty ones are left out."""
        with self._path.open(encoding=self._encoding, newline="") as text:
            found = records(text, self._delimiter)
            header = next(found, None)
            yield header.cells if header is not None else (), found


class _Group(msgspec.Struct):
    """Lines of the file, the sum of their points, and what became of them."""

    cells: dict[int, list[str]]
    points: int
    owned: list[Owned]
    rejects: list[Reject]


_Rejects = Callable[[Reject, Sequence[str]], None]


class _Pass:
    """One way through the file."""

    def __init__(
        self,
        services: Services,
        args: argparse.Namespace,
        name: str,
        file: _File,
    ) -> None:
        self._services = services
        self._args = args
        self._file = file
        self._name = name
        self._totals = Totals()
        principal = Principal(key_id=COMMAND_LINE, name=f"import {name}", role="admin")
        registrar = Registrar(services.customers, principal) if args.create_customers else None
        self._matcher = Matcher(services.database, services.directory, registrar)

    def add_up(self, bar: Progress) -> Totals:
        """Read everything, for the control totals."""
        task = bar.add_task("Reading", total=None)
        with self._file.rows() as (header, rows):
            reader = self._reader(header)
            while group := list(islice(rows, GROUP)):
                self._totals.rows += len(group)
                self._totals.points += sum(reader.points(one.cells) for one in group)
                bar.update(task, completed=self._totals.rows)
        bar.update(task, total=self._totals.rows)
        return self._totals

    async def check(self, bar: Progress, total: int) -> Totals:
        """Look at every line, find everybody, post nothing."""
        task = bar.add_task("Checking", total=total)
        with self._rejects() as reject:
            async for group in self._groups(dry=True):
                self._count(group, reject)
                bar.update(task, completed=self._totals.rows)
        return self._totals

    async def post(self, bar: Progress, total: int) -> Totals:
        """Post what is good, a group at a time; the customers of the next one are found and
        registered meanwhile."""
        task = bar.add_task("Posting", total=total)
        poster = Poster(self._services.ledger, self._name, f"import {self._name}")

        async def post(group: _Group) -> None:
            fates = await poster.post(group.owned, self._totals)
            group.rejects += [
                Reject(line, why or "") for line, how, why in fates if how == REJECTED
            ]
            self._count(group, reject)
            bar.update(task, completed=self._totals.rows)

        with self._rejects() as reject:
            before: asyncio.Task[None] | None = None
            try:
                async for group in self._groups(dry=False):
                    if before is not None:
                        await before
                    before = asyncio.create_task(post(group))
                if before is not None:
                    await before
            finally:
                await end(before)
        return self._totals

    def _reader(self, header: Sequence[str]) -> Reader:
        services = self._services
        now, zone = services.ledger.clock(), services.settings.timezone
        return Reader(self._name, check_columns(header), zone, now)

    def _count(self, group: _Group, reject: _Rejects) -> None:
        """Count a group that is done with, and write down its rejects."""
        self._totals.rows += len(group.cells)
        self._totals.points += group.points
        for found in group.owned:
            self._totals.take(found.lot)
        for one in sorted(group.rejects, key=lambda one: one.line):
            reject(one, group.cells[one.line])

    async def _groups(self, *, dry: bool) -> AsyncIterator[_Group]:
        """All lines, in groups, with their customers."""
        with self._file.rows() as (header, rows):
            reader = self._reader(header)
            while cells := {one.line: one.cells for one in islice(rows, GROUP)}:
                read = [reader.read(line, row) for line, row in cells.items()]
                lots = [one for one in read if isinstance(one, Lot)]
                owned, rejects = await self._matcher.match(lots, self._totals, dry=dry)
                rejects += [one for one in read if isinstance(one, Reject)]
                points = sum(reader.points(row) for row in cells.values())
                yield _Group(cells, points, owned, rejects)

    @contextmanager
    def _rejects(self) -> Iterator[_Rejects]:
        """Writes rejected lines below the file's own header, with line and reason at the end."""
        with _rejects_of(self._args).open("w", encoding="utf-8", newline="") as out:
            writer = csv.writer(out, delimiter=self._args.delimiter)
            with self._file.rows() as (header, _):
                # Those of a file of rejects make room for the new ones.
                own = len(header) - sum(one.strip() in OF_REJECTS for one in header[-2:])
                writer.writerow([*header[:own], *OF_REJECTS])

            def reject(one: Reject, cells: Sequence[str]) -> None:
                self._totals.reject(one.reason)
                kept = cells[:own] if len(cells) == len(header) else cells
                writer.writerow([*kept, one.line, one.reason])

            yield reject


async def _same_file(services: Services, name: str, file: _File) -> None:
    """Raise Conflict when the name stands for another file."""
    known = await store.by_name(services.database, name)
    if known is not None and known.digest != file.digest:
        raise Conflict(
            "import_exists",
            f"The import {name!r} was of another file; lots without a reference are known by the "
            "import's name and their line. Choose another name.",
        )


async def _claim(services: Services, name: str, file: _File) -> None:
    new = Import(
        id=uuid7(), name=name, state="closed", author="command line",
        created_at=services.ledger.clock(), digest=file.digest, job_id=None,
    )  # fmt: skip
    async with services.database.transaction(timeout_s=10) as tx:
        await store.insert(tx, new)
    await _same_file(services, name, file)


@asynccontextmanager
async def _services(settings: Settings) -> AsyncIterator[Services]:
    """The parts of the service, in this process."""
    services = build_services(settings)
    async with services.running():
        yield services


def _bar() -> Progress:
    return Progress(
        TextColumn("{task.description} lines"),
        BarColumn(),
        MofNCompleteColumn(),
        TimeElapsedColumn(),
        console=Console(stderr=True),
    )


def _tell(totals: Totals, args: argparse.Namespace) -> None:
    print(f"{totals.rows:,} lines, {format_amount(totals.points)} points in the file")  # noqa: T201
    for bucket, points in sorted(totals.by_bucket.items()):
        print(f"  good: {format_amount(points)} {bucket} points")  # noqa: T201
    if args.dry_run:
        print(  # noqa: T201
            f"  {totals.good:,} lines could be posted: of {totals.known:,} known customers, and of "
            f"{totals.unknown:,} to register"
        )
    else:
        print(  # noqa: T201
            f"posted {totals.posted:,} lots, {format_amount(totals.posted_points)} points; "
            f"{totals.already:,} were posted before; {totals.created:,} customers registered"
        )
    for reason, count in sorted(totals.reasons.items(), key=lambda one: -one[1])[:20]:
        print(f"  rejected {count:,}: {reason}")  # noqa: T201
