"""A process that `bonus up` started ends when `bonus up` has died, even by kill -9.

Without this an orphan would keep the port. It gets the signal it would get from `bonus up`, so
it still drains.
"""

from __future__ import annotations

import os
import signal
import threading
import time
from collections.abc import Mapping

VARIABLE = "BONUS_SUPERVISOR"
"""The process id of the parent; set by the parent for its children."""
CHECK_EVERY_S = 0.5


def end_with_parent(environ: Mapping[str, str]) -> None:
    """Start watching, if this process was started by a supervisor."""
    parent = environ.get(VARIABLE, "")
    if parent.isdigit():
        watch(int(parent))


def watch(parent: int) -> None:
    """Send ourselves SIGTERM when `parent` is our parent no more."""
    threading.Thread(target=_watch, args=(parent,), name="parent-watch", daemon=True).start()


def _watch(parent: int) -> None:
    while os.getppid() == parent:
        time.sleep(CHECK_EVERY_S)
    os.kill(os.getpid(), signal.SIGTERM)
