"""`bonus replay`: post files of real receipts through the API."""

from __future__ import annotations

import argparse
import os
from pathlib import Path
from typing import Any

from billing.common.settings import Settings

_DESCRIPTION = """\
Post receipts from FILEs through the HTTP API, as a fleet of tills would: many
customers at once, each customer's receipts in order of time, trying again when
the service is busy or the connection is lost.

A FILE is either lines of receipts (a CSV with the columns of "The Complete
Journey", earning by the published programs, three receipts in ten paying with
points) or purchases whose points are stated (JSON lines, posted as they
stand). Both may be gzipped. Stores, products and customers that the service
does not know are created first; phone numbers are made up: do not replay into
a database that serves real customers.

Idempotency keys derive from the data: posting a file again changes nothing.
Ctrl-C ends after the receipts under way; the same command then goes on.
"""
_EPILOG = """\
examples:
  bonus replay receipt_lines.csv.gz --key "$(bonus keys create --role admin --name replay)"
  BONUS_KEY=... bonus replay points_receipts.jsonl.gz --tills 64 --url https://bonus.example
"""


def add(subparsers: Any) -> None:
    parser = subparsers.add_parser(
        "replay",
        help="post files of real receipts through the API",
        description=_DESCRIPTION,
        epilog=_EPILOG,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument(
        "files", nargs="+", type=Path, metavar="FILE", help="receipts, told by their content"
    )
    parser.add_argument("--url", help="where the service is (default: BONUS_HOST and BONUS_PORT)")
    parser.add_argument(
        "--key",
        default=os.environ.get("BONUS_KEY"),
        help="an API key with the role admin (default: the variable BONUS_KEY)",
    )
    parser.add_argument("--tills", type=_positive, default=32, help="connections (default: 32)")
    parser.add_argument("--limit", type=_positive, help="only the first LIMIT receipts of a file")
    parser.add_argument(
        "--products", type=Path, help="product list (default: products.csv.gz beside the file)"
    )
    again = parser.add_mutually_exclusive_group()
    again.add_argument(
        "--resume",
        action="store_true",
        help="go on where the last run ended (the default); an error if there was none",
    )
    again.add_argument(
        "--restart", action="store_true", help="forget the journal and send everything again"
    )


def run(args: argparse.Namespace, settings: Settings) -> int:
    from billing.app.replay import command  # rich takes its time to load

    return command.run(args, settings)


def _positive(text: str) -> int:
    value = int(text)
    if value < 1:
        raise argparse.ArgumentTypeError("must be at least 1")
    return value
