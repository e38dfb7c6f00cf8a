"""`bonus seals`: the chain of the ledger, for whoever verifies it."""

from __future__ import annotations

import argparse
import gzip
import os
import sys
from pathlib import Path
from typing import IO, Any

import uvloop
from rich.console import Console
from rich.progress import Progress, TextColumn, TimeElapsedColumn

from billing.audits.reading import AuditReader
from billing.audits.service import Sealing
from billing.audits.signing import seal_key_of
from billing.common.db import Database, connect
from billing.common.settings import Settings
from ledger.seals.exporting import export

NEEDS = ("DATABASE_URL",)
FAILED = 1

DESCRIPTION = """\
Workers chain what is committed in blocks by SHA-256, and sign the ends of the chains every hour
(Ed25519). `export` writes chain, rows and checkpoints as lines of JSON that
deploy/verify_chain.py verifies without any of our code. docs/audit.md says how it works."""


def add(subparsers: Any) -> None:
    parser = subparsers.add_parser(
        "seals",
        help="seal now, show the chain, export it for a verifier",
        description=DESCRIPTION,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    actions = parser.add_subparsers(dest="action", required=True, metavar="ACTION")
    actions.add_parser("show", help="the ends of the chains, what is not sealed, the public key")
    actions.add_parser("run", help="seal what is committed, at once, as a worker does")
    out = actions.add_parser("export", help="write chain and rows to a file (.gz: compressed)")
    out.add_argument("file", type=Path)


def run(args: argparse.Namespace, settings: Settings) -> int:
    if args.action == "export":
        if args.file.exists() and not args.file.is_file():
            # A device would be replaced by a file.
            print(f"bonus seals: {args.file} is no file to write to", file=sys.stderr)  # noqa: T201
            return 2
        return uvloop.run(_export(settings, args.file))
    return uvloop.run(_show(settings, seal_first=args.action == "run"))


async def _show(settings: Settings, *, seal_first: bool) -> int:
    database = Database(settings.database_url, application="bonus-seals", size=1)
    key = seal_key_of(settings)
    try:
        if seal_first:
            sealing = Sealing(settings.database_url, database, key, settings.checkpoint_file)
            print(f"sealed now  {await sealing.run():,} rows")  # noqa: T201
        seals = await AuditReader(database).seals()
    finally:
        await database.close()
    for name, chain in seals.chains.items():
        print(f"{name:<11} block {chain.block:,}, {chain.hash}")  # noqa: T201
    print(f"unsealed    {seals.unsealed:,} transactions")  # noqa: T201
    if seals.checkpoint is not None:
        print(f"checkpoint  {seals.checkpoint.id}, {seals.checkpoint.at.isoformat()}")  # noqa: T201
    public = key.public.hex() if key is not None else "none: set BONUS_SEAL_KEY"
    print(f"public key  {public}")  # noqa: T201
    return 0


async def _export(settings: Settings, file: Path) -> int:
    """Written beside, and put in place when it is whole."""
    beside = file.with_name(f"{file.name}.part")
    connection = await connect(
        settings.owner_database_url, role=None, application="bonus-seals-export"
    )
    try:
        with _open(beside, file.suffix == ".gz") as out, _progress() as progress:
            task = progress.add_task("rows", total=None)
            async for line in export(
                connection,
                lambda chain, rows: progress.update(task, description=f"{rows:,} rows of {chain}"),
            ):
                out.write(line)
    except OSError as error:
        print(f"bonus seals: {file} cannot be written: {error}", file=sys.stderr)  # noqa: T201
        return 1
    finally:
        await connection.close()
    os.replace(beside, file)
    print(f"{file}")  # noqa: T201
    return 0


def _open(file: Path, packed: bool) -> IO[bytes]:
    return gzip.open(file, "wb", compresslevel=3) if packed else file.open("wb")  # type: ignore[return-value]


def _progress() -> Progress:
    return Progress(
        TextColumn("{task.description}"),
        TimeElapsedColumn(),
        console=Console(stderr=True),
        transient=True,
    )
