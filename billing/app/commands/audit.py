"""`bonus audit`: let the ledger prove itself."""

from __future__ import annotations

import argparse
import asyncio
import sys
import time
from typing import Any

import asyncpg
import msgspec
from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeElapsedColumn

from billing.common.db import connect
from billing.common.settings import Settings
from ledger.audit import Finding, Report, audit
from ledger.rebuild import rebuild

NEEDS = ("DATABASE_URL",)

DESCRIPTION = """\
Folds every customer's postings anew and compares: versions without a gap, only allowed flows,
nothing below zero, the balances each transaction says it left, balance rows, lots and holds,
documents and transfers. Reads one snapshot; tills may go on. Names the first wrong transaction of
a customer and every wrong balance, lot and hold.

Exit code: 0 all is proved, 1 something is wrong, 2 the audit could not run."""

_ORPHANS = """
SELECT r.customer_id, r.id::text FROM billing.receipts r WHERE NOT EXISTS (
    SELECT FROM ledger.transactions t WHERE t.id = r.id AND t.customer_id = r.customer_id)
LIMIT 100
"""


def add(subparsers: Any) -> None:
    parser = subparsers.add_parser(
        "audit",
        help="prove the ledger: fold all postings anew and compare",
        description=DESCRIPTION,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument("--json", action="store_true", help="print the report as JSON")
    parser.add_argument(
        "--rebuild",
        action="store_true",
        help="first put balances, lots and holds right from the postings, as the owner",
    )


def run(args: argparse.Namespace, settings: Settings) -> int:
    started = time.monotonic()
    try:
        report, repaired = asyncio.run(_run(settings, args.rebuild))
    except (asyncpg.PostgresError, OSError) as error:
        print(f"bonus audit: the database did not let us read: {error}", file=sys.stderr)  # noqa: T201
        return 2
    seconds = time.monotonic() - started
    if args.json:
        document = {
            "clean": report.clean,
            "customers": report.customers,
            "transactions": report.transactions,
            "postings": report.postings,
            "repaired": repaired,
            "findings": report.findings,
        }
        print(msgspec.json.encode(document).decode())  # noqa: T201
    else:
        _tell(report, repaired, seconds)
    return 0 if report.clean else 1


async def _run(settings: Settings, rebuild_first: bool) -> tuple[Report, list[str]]:
    url = settings.owner_database_url
    reader = await connect(url, role=None, application="bonus-audit")
    writer = await connect(url, role=None, application="bonus-rebuild")
    repaired: list[str] = []
    try:
        total = await reader.fetchval("SELECT count(*) FROM ledger.balances WHERE version > 0")
        with _progress() as progress:
            if rebuild_first:
                task = progress.add_task("Rebuilding", total=total)
                done = await rebuild(reader, writer, lambda n: progress.update(task, completed=n))
                repaired = [str(one) for one in done.repaired]
            task = progress.add_task("Auditing", total=total)
            report = await audit(reader, lambda n: progress.update(task, completed=n))
        for customer_id, receipt in await reader.fetch(_ORPHANS):
            report.findings.append(Finding("receipt", customer_id, receipt, "has no transaction"))
    finally:
        await reader.close()
        await writer.close()
    return report, repaired


def _progress() -> Progress:
    return Progress(
        TextColumn("{task.description} customers"),
        BarColumn(),
        MofNCompleteColumn(),
        TimeElapsedColumn(),
        console=Console(stderr=True),
        transient=True,
    )


def _tell(report: Report, repaired: list[str], seconds: float) -> None:
    for one in repaired:
        print(f"repaired customer {one}")  # noqa: T201
    for finding in report.findings:
        print(f"WRONG: {finding}")  # noqa: T201
    counted = (
        f"{report.customers:,} customers, {report.transactions:,} transactions, "
        f"{report.postings:,} postings in {seconds:.1f} s"
    )
    if report.clean:
        print(f"The ledger is sound: {counted}.")  # noqa: T201
    else:
        print(f"{len(report.findings)} findings: {counted}.")  # noqa: T201
