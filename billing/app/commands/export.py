"""`bonus export`: the whole journal as files, incremental."""

from __future__ import annotations

import argparse
import asyncio
import sys
from pathlib import Path
from typing import Any

from billing.common.db import connect
from billing.common.settings import Settings
from billing.exports.folder import FolderError, Manifest
from billing.exports.service import FORMATS, TRANSACTIONS, export_journal

NEEDS = ("DATABASE_URL",)

DESCRIPTION = """\
Writes every posting that was committed since the last run to a folder, in parts. A part counts
when its manifest is there (manifest/00000001.json): it is written last and names the file, its
rows and its SHA-256. Run it again whenever you like: every posting comes exactly once, whatever
was killed. docs/finance.md has the columns."""

EXAMPLES = """\
examples:
  bonus export /var/lib/bonus/journal
  bonus export /var/lib/bonus/journal --format csv"""


def add(subparsers: Any) -> None:
    parser = subparsers.add_parser(
        "export",
        help="export the journal to a folder, incrementally",
        description=DESCRIPTION,
        epilog=EXAMPLES,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument("folder", type=Path, help="made if it is not there")
    parser.add_argument("--format", choices=FORMATS, default="parquet")
    parser.add_argument(
        "--transactions", type=int, default=TRANSACTIONS, help="in a part, at most (300000)"
    )


def run(args: argparse.Namespace, settings: Settings) -> int:
    if args.transactions < 1:
        print("bonus export: --transactions must be at least 1", file=sys.stderr)  # noqa: T201
        return 2
    try:
        count = asyncio.run(_run(args, settings))
    except (FolderError, OSError) as error:
        print(f"bonus export: {error}", file=sys.stderr)  # noqa: T201
        return 1
    print(f"{count:,} postings", file=sys.stderr)  # noqa: T201
    return 0


async def _run(args: argparse.Namespace, settings: Settings) -> int:
    connection = await connect(settings.database_url, application="bonus-export")
    try:
        return await export_journal(
            connection, args.folder, args.format, transactions=args.transactions, told=_tell
        )
    finally:
        await connection.close()


def _tell(made: Manifest) -> None:
    print(f"{made.file}  {made.rows:,} rows  {made.bytes:,} bytes")  # noqa: T201
