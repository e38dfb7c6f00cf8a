"""`bonus replay` at work: files in, bar, table and exit code out."""

from __future__ import annotations

import argparse
import asyncio
import signal
import sys
from pathlib import Path

import uvloop
from rich.console import Console

from billing.app.replay import report
from billing.app.replay.catalog import Refused
from billing.app.replay.files import read_chain
from billing.app.replay.fleet import Service, replay
from billing.app.replay.grocer import FileFault
from billing.app.replay.journal import Journal, JournalFault, place
from billing.app.replay.model import Chain
from billing.app.replay.tally import Tally
from billing.app.replay.till import Unreachable
from billing.app.replay.wire import Address
from billing.common.settings import Settings

INTERRUPTED = 130


def run(args: argparse.Namespace, settings: Settings) -> int:
    """Post `args.files`. 0: all is posted; 1: something was refused; 130: stopped."""
    console = Console()
    tally = Tally()
    try:
        service = _service(args, settings)
        whole = True
        for path in args.files:
            whole = whole and _post(path, args, service, settings.data_dir, tally, console)
    except (FileFault, JournalFault, Refused, Unreachable, ValueError) as error:
        print(f"bonus: {error}", file=sys.stderr)  # noqa: T201
        if isinstance(error, Unreachable):
            console.print("What is posted is kept. Run the same command to go on.")
        whole, code = False, 1
    else:
        code = 0 if whole else INTERRUPTED
    if tally.latencies or tally.earlier.receipts:
        console.print(report.table(tally))
        for row in report.remarks(tally):
            console.print(row, markup=False, highlight=False, soft_wrap=True)
    if code == INTERRUPTED:
        console.print("Stopped. Run the same command to go on, with --restart to start over.")
    return 1 if tally.refused and not code else code


def _service(args: argparse.Namespace, settings: Settings) -> Service:
    if not args.key:
        raise ValueError(
            "an API key is needed: pass --key or set BONUS_KEY; "
            "`bonus keys create --role admin --name replay` makes one"
        )
    url = args.url or f"http://{settings.host}:{settings.port}"
    Address.of(url)
    return Service(url=url, key=args.key, tills=args.tills)


def _post(
    path: Path,
    args: argparse.Namespace,
    service: Service,
    data_dir: Path,
    tally: Tally,
    console: Console,
) -> bool:
    chain = read_chain(path, args.products)
    console.print(f"{path}: {len(chain.sales):,} receipts", markup=False, highlight=False)
    for row in report.adjusted(chain):
        console.print(f"  {row}", markup=False, highlight=False)
    if args.limit:
        chain = chain.first(args.limit)
    journal = place(data_dir, chain.source, service.url)
    if args.resume and not journal.exists():
        raise JournalFault(f"there is no run to resume: {journal} does not exist")
    with report.Bar(console) as bar:
        return uvloop.run(_replay(chain, service, journal, args.restart, tally, bar))


async def _replay(
    chain: Chain, service: Service, journal: Path, restart: bool, tally: Tally, bar: report.Bar
) -> bool:
    stop = asyncio.Event()
    for number in (signal.SIGINT, signal.SIGTERM):
        asyncio.get_running_loop().add_signal_handler(number, stop.set)
    notes = Journal(journal, fresh=restart)
    try:
        return await replay(chain, service, notes, tally, bar, stop)
    finally:
        await notes.close()
