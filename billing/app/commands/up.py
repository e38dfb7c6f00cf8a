"""`bonus up`: everything at once, on one machine."""

from __future__ import annotations

import argparse
from typing import Any

from billing.app.screen import Screen
from billing.app.signals import StopAsked, stop_on_signals
from billing.app.whole import Whole
from billing.common.embedded.process import EmbeddedError
from billing.common.settings import Settings

RECALLS = False

DESCRIPTION = """\
Starts the whole service: an embedded PostgreSQL and Redis (unless DATABASE_URL and REDIS_URL name
others), migrations, the API, a worker and the scheduler. A new database gets a demo chain. Ctrl-C
stops all of it; the data stays in BONUS_DATA_DIR (.data) for the next time. Is the port taken? Then
BONUS_PORT=8081 bonus up."""


def add(subparsers: Any) -> None:
    parser = subparsers.add_parser(
        "up",
        help="start everything: servers, API, worker, scheduler, and a demo chain",
        description=DESCRIPTION,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument(
        "--no-demo", action="store_true", help="leave a new database without the demo chain"
    )


def run(args: argparse.Namespace, settings: Settings) -> int:
    screen = Screen()
    stop_on_signals()
    try:
        with Whole(settings, screen) as whole:
            whole.start(demo=not args.no_demo)
            whole.watch()
    except StopAsked:
        screen.say("Stopped. The data is kept; `make run` goes on with it.")
    except PermissionError as error:
        raise EmbeddedError(
            f"{error.filename} belongs to another user. Run as that user, or choose another "
            "folder by BONUS_DATA_DIR."
        ) from error
    return 0
