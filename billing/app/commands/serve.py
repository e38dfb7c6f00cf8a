"""`bonus serve`: the HTTP API."""

from __future__ import annotations

import argparse
import multiprocessing
import os
import resource
from typing import Any

from billing.app.running import recall
from billing.app.supervised import watch
from billing.common.logging import configure_logging
from billing.common.settings import Settings, load_settings

NEEDS = ("DATABASE_URL", "BONUS_SECRET_KEY")

DESCRIPTION = """\
Serves the HTTP API on BONUS_HOST and BONUS_PORT with BONUS_API_PROCESSES processes. On SIGTERM or
Ctrl-C it takes no new connections, answers what it has accepted, commits, and ends. A process
that dies is replaced. Needs DATABASE_URL and BONUS_SECRET_KEY; tills do without Redis."""

BACKLOG = 4096
KILL_AFTER_S = 30
HEADERS_TIMEOUT_S = 15


def add(subparsers: Any) -> None:
    subparsers.add_parser(
        "serve",
        help="serve the HTTP API",
        description=DESCRIPTION,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )


def run(args: argparse.Namespace, settings: Settings) -> int:
    from granian.constants import HTTPModes, Interfaces, Loops
    from granian.http import HTTP1Settings
    from granian.log import LogLevels
    from granian.server import Server

    _allow_many_connections()
    # The parent watch is a thread, and a forked copy of a process with threads may hang.
    multiprocessing.set_start_method("spawn")
    Server(
        f"{__name__}:application",
        address=settings.host,
        port=settings.port,
        interface=Interfaces.ASGI,
        workers=settings.api_processes,
        loop=Loops.uvloop,
        http=HTTPModes.http1,
        http1_settings=HTTP1Settings(header_read_timeout=HEADERS_TIMEOUT_S * 1000),
        websockets=False,
        backlog=BACKLOG,
        # A connection holds a place even while it is idle: a till keeps its own. More than the
        # lanes take, so that the one to say no is the lane, with a 503, and not a silent queue.
        backpressure=settings.lanes * settings.lane_capacity + BACKLOG,
        log_level=LogLevels.warning,
        log_access=False,
        respawn_failed_workers=True,
        workers_kill_timeout=KILL_AFTER_S,
        factory=True,
    ).serve()
    return 0


def application() -> Any:
    """What each API process runs."""
    from billing.app.api import create_app

    watch(os.getppid())
    settings = load_settings(recall(os.environ), needs=NEEDS)
    configure_logging(settings.log_level)
    return create_app(settings)


def _allow_many_connections() -> None:
    """Systems start a process with 1,024 open files and let it ask for more."""
    _, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (hard, hard))
