"""`bonus serve`: the HTTP API."""

from __future__ import annotations

import argparse
import asyncio
import multiprocessing
import os
import resource
import shutil
import signal
import sys
import threading
import time
from pathlib import Path
from typing import Any

import structlog

from billing.app.port import await_port
from billing.app.running import recall
from billing.app.supervised import watch
from billing.common.logging import configure_logging
from billing.common.metrics import MULTIPROCESS_DIR
from billing.common.settings import Settings, load_settings
from billing.customers.secret import AGAIN_AFTER_S, SecretKeyChanged, confirm_at

NEEDS = ("DATABASE_URL", "BONUS_SECRET_KEY")

DESCRIPTION = """\
Serves the HTTP API on BONUS_HOST and BONUS_PORT with BONUS_API_PROCESSES processes. On SIGTERM or
Ctrl-C it takes no new connections, answers what it has accepted, commits, and ends. A process
that dies is replaced. Needs DATABASE_URL and BONUS_SECRET_KEY, the one the database was written
with: under another it does not start. Tills do without Redis."""

BACKLOG = 4096
KILL_AFTER_S = 30
HEADERS_TIMEOUT_S = 15
PORT_PATIENCE_S = 5
"""How long processes that lost their parent may still answer their last requests."""

log = structlog.stdlib.get_logger(__name__)


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

    key = _KeyCheck(settings)
    if not key.right_or_unknown():
        return 1
    # Granian would share a taken port, and requests with it, without a word.
    await_port(settings, PORT_PATIENCE_S)
    _allow_many_connections()
    _share_metrics(settings)
    # The parent watch is a thread, and a forked copy of a process with threads may hang.
    multiprocessing.set_start_method("spawn")
    server = Server(
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
    )
    server.on_startup(lambda: _started(settings))
    server.on_startup(key.go_on)
    server.serve()
    return 1 if key.changed else 0


def application() -> Any:
    """What each API process runs."""
    from billing.app.api import create_app

    watch(os.getppid())
    settings = load_settings(recall(os.environ), needs=NEEDS)
    configure_logging(settings.log_level)
    return create_app(settings)


class _KeyCheck:
    """Ends `serve` when the database turns out to be of another BONUS_SECRET_KEY."""

    def __init__(self, settings: Settings) -> None:
        self._settings = settings
        self._known = False
        self.changed = False

    def right_or_unknown(self) -> bool:
        """False, said on stderr, when it is known to be another key's."""
        try:
            self._known = asyncio.run(
                confirm_at(self._settings.database_url, self._settings.secret_key)
            )
        except SecretKeyChanged as error:
            print(f"bonus serve: {error}", file=sys.stderr)  # noqa: T201
            self.changed = True
        return not self.changed

    def go_on(self) -> None:
        """Ask until the database answers, beside the server; then end the server if need be."""
        if not self._known:
            threading.Thread(target=self._ask_on, name="secret-key", daemon=True).start()

    def _ask_on(self) -> None:
        while not self._known and self.right_or_unknown():
            time.sleep(AGAIN_AFTER_S)
        if self.changed:
            os.kill(os.getpid(), signal.SIGTERM)


def _started(settings: Settings) -> None:
    log.info(
        "api_started",
        host=settings.host,
        port=settings.port,
        processes=settings.api_processes,
        lanes=settings.lanes,
        timezone=settings.timezone.key,
    )


def _share_metrics(settings: Settings) -> None:
    """Several processes count in the files of one folder, emptied of an earlier run's."""
    if settings.api_processes == 1:
        os.environ.pop(MULTIPROCESS_DIR, None)
        return
    folder: Path = settings.data_dir / "metrics" / str(settings.port)
    shutil.rmtree(folder, ignore_errors=True)
    folder.mkdir(parents=True)
    os.environ[MULTIPROCESS_DIR] = str(folder)


def _allow_many_connections() -> None:
    """Systems start a process with 1,024 open files and let it ask for more."""
    _, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (hard, hard))
