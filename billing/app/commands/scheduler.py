"""`bonus scheduler`: the process that sends work to the workers by the clock."""

from __future__ import annotations

import argparse
import asyncio
from typing import Any

from billing.common.settings import Settings

NEEDS = ("DATABASE_URL", "REDIS_URL")

DESCRIPTION = """\
Sends work to the workers by the clock. Several may run: one sends, the others wait to take over
(an advisory lock in the database decides). Needs DATABASE_URL and REDIS_URL."""


def add(subparsers: Any) -> None:
    subparsers.add_parser(
        "scheduler",
        help="run the process that wakes the workers",
        description=DESCRIPTION,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )


def run(args: argparse.Namespace, settings: Settings) -> int:
    from workers.scheduler import run_scheduler

    asyncio.run(run_scheduler(settings))
    return 0
