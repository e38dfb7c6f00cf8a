"""`bonus demo`: load the demo chain, and say what can be tried with it."""

from __future__ import annotations

import argparse
import os
import sys
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from billing.common.settings import Settings

_DESCRIPTION = """\
Load a small chain into a running service: three channels, 77 stores in two
groups, a tree of product groups, a program that gives 5 %, 47 customers and a
thousand of their real receipts ("The Complete Journey" by dunnhumby / 84.51°,
CC0). Then print keys and commands to paste. Loading it again changes nothing.
"""


@dataclass(frozen=True)
class DemoResult:
    """`pos_key` is a till's; empty when this process cannot reach the database to make one.
    `text` holds commands that work when pasted into a shell."""

    admin_key: str
    pos_key: str
    text: str


def load(base_url: str, admin_key: str, report: Callable[[str], None]) -> DemoResult:
    """Set the demo chain up through the API at `base_url` and post its receipts.

    `report` gets a remark now and then. Raises EmbeddedError when the service refuses."""
    from billing.app.replay.demo import load as load_chain

    pos_key, text = load_chain(base_url, admin_key, report)
    return DemoResult(admin_key, pos_key, text)


def add(subparsers: Any) -> None:
    parser = subparsers.add_parser(
        "demo",
        help="load the demo chain into a running service",
        description=_DESCRIPTION,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument("--url", help="where the service is (default: BONUS_HOST and BONUS_PORT)")
    parser.add_argument(
        "--key",
        default=os.environ.get("BONUS_KEY"),
        help="an API key with the role admin (default: the variable BONUS_KEY)",
    )


def run(args: argparse.Namespace, settings: Settings) -> int:
    if not args.key:
        print(  # noqa: T201
            "bonus: an API key is needed: pass --key or set BONUS_KEY; "
            "`bonus keys create --role admin --name demo` makes one",
            file=sys.stderr,
        )
        return 1
    url = args.url or f"http://{settings.host}:{settings.port}"
    result = load(url, args.key, lambda text: print(text, file=sys.stderr))  # noqa: T201
    print(result.text)  # noqa: T201
    return 0
