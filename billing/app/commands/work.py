"""`bonus work`: what workers do and what is late."""

from __future__ import annotations

import argparse
import asyncio
from datetime import datetime
from typing import Any

from rich.console import Console
from rich.table import Table

from billing.app.working import make_work
from billing.common.db import Database
from billing.common.settings import Settings
from billing.common.wire import encode
from billing.work.model import Run, WorkReport, span

NEEDS = ("DATABASE_URL",)

DESCRIPTION = """\
Shows what waits and since when, what waits for a person, the last run of each actor, the workers
and schedulers seen within a minute, and the messages in Redis. Tills are right whatever it says:
workers only do the bookkeeping early.

Exit code: 0 nothing is late, 1 something is, and it says what."""


def add(subparsers: Any) -> None:
    parser = subparsers.add_parser(
        "work",
        help="see what workers do and what is late",
        description=DESCRIPTION,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    actions = parser.add_subparsers(dest="action", required=True, metavar="ACTION")
    status = actions.add_parser(
        "status", help="what waits, what is late, who works", description=DESCRIPTION,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )  # fmt: skip
    status.add_argument("--json", action="store_true", help="print what GET /v1/work answers")


def run(args: argparse.Namespace, settings: Settings) -> int:
    report = asyncio.run(_report(settings))
    if args.json:
        print(encode(report).decode())  # noqa: T201
    else:
        _tell(report, Console(highlight=False, markup=False, soft_wrap=True))
    return 1 if report.problems else 0


async def _report(settings: Settings) -> WorkReport:
    database = Database(settings.database_url, application="bonus-work", size=2)
    work = make_work(settings, database)
    try:
        return await work.report()
    finally:
        await work.close()
        await database.close()


def _tell(report: WorkReport, console: Console) -> None:
    console.print(_table("WAITS", ("due", "oldest", "limit", ""), [
        (one.name, _count(one.waiting), _ago(one.oldest, report.at), span(one.limit_s),
         "LATE" if one.late else "") for one in report.waiting
    ]))  # fmt: skip
    console.print(_table("FOR A PERSON", ("dead", "oldest", "error"), [
        (one.name, _count(one.count), _ago(one.oldest, report.at), one.error or "")
        for one in report.dead
    ]))  # fmt: skip
    console.print(_table("ACTOR", ("last run", "every", "outcome", "did", "error"), [
        _actor(one) for one in report.actors
    ]))  # fmt: skip
    console.print(_table("PROCESS", ("host", "pid", "since", ""), [
        (one.role, one.host, str(one.pid), _ago(one.started_at, report.at),
         f"leads for {_ago(one.leads_since, report.at)}" if one.leads_since else "")
        for one in report.processes
    ]))  # fmt: skip
    if report.redis == "up":
        console.print(_table("QUEUE", ("messages", "delayed", "dead"), [
            (one.name, str(one.waiting), str(one.delayed), str(one.dead)) for one in report.queues
        ]))  # fmt: skip
    else:
        console.print(f"Redis {'is away' if report.redis == 'away' else 'is not configured'}\n")
    for problem in report.problems:
        console.print(f"LATE: {problem}")
    if not report.problems:
        console.print("Nothing is late.")


def _actor(run: Run) -> tuple[str, ...]:
    last = "-" if run.age_s is None else span(run.age_s)
    every = "-" if run.every_s is None else span(run.every_s)
    did = "" if run.handled is None else str(run.handled)
    return (run.actor, last, every, run.outcome, did, run.error or "")


def _table(title: str, columns: tuple[str, ...], rows: list[tuple[str, ...]]) -> Table:
    table = Table(title, *columns, box=None, pad_edge=False, padding=(0, 3, 0, 0))
    for row in rows:
        table.add_row(*row)
    table.add_row()
    return table


def _count(number: int) -> str:
    return f"{number}+" if number >= 1000 else str(number)


def _ago(moment: datetime | None, now: datetime) -> str:
    return "-" if moment is None else span((now - moment).total_seconds())
