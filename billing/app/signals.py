"""Ctrl-C, `kill` and a closed terminal all ask for the same: an orderly end."""

from __future__ import annotations

import os
import signal
from types import FrameType


class StopAsked(BaseException):
    """Raised once, wherever the program is; signals that follow do not disturb the clean-up."""


def stop_on_signals() -> None:
    """From now on the first of the signals raises StopAsked in the main thread."""
    for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
        signal.signal(number, _stop)


def _stop(number: int, _frame: FrameType | None) -> None:
    for other in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
        signal.signal(other, signal.SIG_IGN)
    if number == signal.SIGHUP:
        # The terminal has gone: writing to it would fail in the midst of the clean-up.
        nowhere = os.open(os.devnull, os.O_WRONLY)
        os.dup2(nowhere, 1)
        os.dup2(nowhere, 2)
    raise StopAsked
