"""`bonus audit`: let the ledger prove itself."""

from __future__ import annotations

import argparse
import re
import sys
import time
from pathlib import Path
from typing import Any
from uuid import UUID

import asyncpg
import msgspec
import uvloop
from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeElapsedColumn

from billing.audits.checkpoints import Line, read_lines
from billing.audits.model import AuditReport
from billing.audits.service import Auditor
from billing.common.collector import spare_the_collector
from billing.common.db import Database, connect
from billing.common.errors import Overloaded
from billing.common.settings import Settings
from billing.operators.service import OperatorLog
from integrations.webhooks.auditing import undelivered
from ledger.rebuild import rebuild
from ledger.seals.model import CHAINS
from ledger.verdicts import AWAY

NEEDS = ("DATABASE_URL",)
FAILED = 2

_KEY = re.compile("[0-9A-Fa-f]{64}")
"""Of Ed25519."""

DESCRIPTION = """\
Compares the seals' chain with the journal and the kept answers, and folds every customer's
postings anew: versions without a gap, only allowed flows, nothing below zero, the balances each
transaction says it left, balance rows, lots and holds, documents and transfers; that nothing may
change the journal; receipts without a transaction. Names what was changed, deleted, inserted or
moved. Holds nobody closed and events nobody delivered are shown as warnings. Reads one snapshot;
tills may go on.

Exit code: 0 all is proved, 1 something is wrong, 2 the audit could not run."""

EXAMPLES = """\
examples:
  bonus audit                          all there is
  bonus audit --since-last --keep      what came after the last clean audit that was kept
  bonus audit --customer 0198c0de-...  one customer
  bonus audit --checkpoints vault.ndjson --public-key HEX"""


def add(subparsers: Any) -> None:
    parser = subparsers.add_parser(
        "audit",
        help="prove the ledger: compare its seals, fold all postings anew",
        description=DESCRIPTION,
        epilog=EXAMPLES,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    scope = parser.add_mutually_exclusive_group()
    scope.add_argument(
        "--since-last",
        action="store_true",
        help="what was posted after the last clean audit that was kept, and whom it touched",
    )
    scope.add_argument("--customer", type=UUID, metavar="ID", help="one customer only")
    parser.add_argument("--json", action="store_true", help="print the report as JSON")
    parser.add_argument(
        "--keep", action="store_true", help="keep the report: GET /v1/ledger/audit shows it"
    )
    parser.add_argument(
        "--checkpoints", type=Path, metavar="FILE", help="checkpoints that were kept elsewhere"
    )
    parser.add_argument(
        "--public-key", metavar="HEX", help="the only key whose signatures of checkpoints count"
    )
    parser.add_argument(
        "--rebuild",
        action="store_true",
        help="first put balances, lots and holds right from the postings, as the owner",
    )


def run(args: argparse.Namespace, settings: Settings) -> int:
    started = time.monotonic()
    spare_the_collector()
    try:
        outside = _outside(args.checkpoints)
        key = _public_key(args.public_key)
        report, repaired = uvloop.run(_run(settings, args, outside, key))
    except (*AWAY, asyncpg.PostgresError, Overloaded) as error:
        # A driver whose connection is lost tells of what it was about to do next.
        why = "the connection was lost" if isinstance(error, asyncpg.InterfaceError) else error
        print(f"bonus audit: the database did not let us read: {why}", file=sys.stderr)  # noqa: T201
        return 2
    except ValueError as error:
        print(f"bonus audit: {error}", file=sys.stderr)  # noqa: T201
        return 2
    if report.clean and args.customer is not None and not report.customers:
        print(  # noqa: T201
            f"bonus audit: nothing was ever posted for {args.customer}; is the id right?",
            file=sys.stderr,
        )
        return 2
    if args.json:
        document = msgspec.to_builtins(report) | {"repaired": repaired}
        print(msgspec.json.encode(document).decode())  # noqa: T201
    else:
        _tell(report, repaired, time.monotonic() - started)
    return 0 if report.clean else 1


def _public_key(text: str | None) -> bytes | None:
    if text is None:
        return None
    if not _KEY.fullmatch(text):
        raise ValueError("--public-key must be 64 hexadecimal digits, as `bonus seals show` prints")
    return bytes.fromhex(text)


def _outside(file: Path | None) -> list[Line]:
    if file is None:
        return []
    try:
        with file.open("rb") as lines:
            return read_lines(lines)
    except (OSError, msgspec.DecodeError) as error:
        raise ValueError(f"{file} has no checkpoints to read: {error}") from None


async def _run(
    settings: Settings, args: argparse.Namespace, outside: list[Line], key: bytes | None
) -> tuple[AuditReport, list[str]]:
    url = settings.owner_database_url
    database = Database(url, role=None, application="bonus-audit", size=1)
    auditor = Auditor(url, database, role=None, by_hand=(undelivered,), public_key=key)
    repaired: list[str] = []
    try:
        with _progress() as progress:
            total = await _count(url)
            if args.rebuild:
                repaired = await _rebuild(url, progress, total["customers"])
                told = {"repaired": repaired[:100], "count": len(repaired)}
                await OperatorLog(database).of_command("audit --rebuild", "", told)
            tasks = {
                stage: progress.add_task(f"Auditing {stage}", total=count)
                for stage, count in total.items()
            }
            report = await auditor.run(
                "since_last" if args.since_last else "whole",
                customer_id=args.customer,
                outside=outside,
                tell=lambda stage, done: progress.update(tasks[stage], completed=done),
            )
        if args.keep and args.customer is None:
            await auditor.keep(report)
    finally:
        await database.close()
    return report, repaired


async def _count(url: str) -> dict[str, int | None]:
    """About how much there is to do, by stage, as far as the statistics know."""
    connection = await connect(url, role=None, application="bonus-audit")
    try:
        sizes = [
            await connection.fetchval(
                "SELECT reltuples::bigint FROM pg_class WHERE oid = $1::regclass", one
            )
            for one in ("ledger.transactions", "ledger.idempotency_keys", "ledger.balances")
        ]
    finally:
        await connection.close()
    known = [size if size > 0 else None for size in sizes]
    return dict(zip((*CHAINS, "customers"), known, strict=True))


async def _rebuild(url: str, progress: Progress, total: int | None) -> list[str]:
    reader = await connect(url, role=None, application="bonus-audit")
    writer = await connect(url, role=None, application="bonus-rebuild")
    try:
        task = progress.add_task("Rebuilding customers", total=total)
        done = await rebuild(reader, writer, lambda n: progress.update(task, completed=n))
    finally:
        await reader.close()
        await writer.close()
    return [str(one) for one in done.repaired]


def _progress() -> Progress:
    return Progress(
        TextColumn("{task.description}"),
        BarColumn(),
        MofNCompleteColumn(),
        TimeElapsedColumn(),
        console=Console(stderr=True),
        transient=True,
    )


def _tell(report: AuditReport, repaired: list[str], seconds: float) -> None:
    for one in repaired:
        print(f"repaired customer {one}")  # noqa: T201
    for finding in report.findings:
        print(f"WRONG: {finding}")  # noqa: T201
    for warning in report.warnings:
        print(f"LATE: {warning}")  # noqa: T201
    unsealed = sum(one.unsealed for one in report.chains.values())
    counted = (
        f"{report.customers:,} customers, {report.transactions:,} transactions, "
        f"{report.postings:,} postings, {report.blocks:,} blocks in {seconds:.1f} s; "
        f"{unsealed:,} rows not sealed yet"
    )
    if report.clean:
        print(f"The ledger is sound: {counted}.")  # noqa: T201
    else:
        print(f"{len(report.findings)} findings: {counted}.")  # noqa: T201
