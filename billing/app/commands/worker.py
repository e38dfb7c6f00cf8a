"""`bonus worker`: a process that does what the scheduler sends."""

from __future__ import annotations

import argparse
from typing import Any

from billing.common.settings import Settings

NEEDS = ("DATABASE_URL", "REDIS_URL", "BONUS_SECRET_KEY")

DESCRIPTION = """\
Runs a worker: it books activations, expiries and hold timeouts early, runs campaigns and tells
events to webhook subscribers. Run as many as you like. Nothing is lost when none runs: points are
right at the till without them, all else is later. Needs DATABASE_URL, REDIS_URL and
BONUS_SECRET_KEY, which webhooks are signed with the help of."""


def add(subparsers: Any) -> None:
    subparsers.add_parser(
        "worker",
        help="run a worker, which books what is due early",
        description=DESCRIPTION,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )


def run(args: argparse.Namespace, settings: Settings) -> int:
    from workers.worker import run_worker

    run_worker(settings)
    return 0
