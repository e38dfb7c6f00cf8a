"""How long the caller of a request still waits: one patience for all that is done on its behalf.

Without it a request that waits for the database several times, each within its limit, would
answer long after its caller was promised to hear something.
"""

from __future__ import annotations

import asyncio
from collections.abc import Iterator
from contextlib import contextmanager
from contextvars import ContextVar

PATIENCE_S = 1.8
"""How long an ordinary request waits for the database before it is told to come back."""

_ends_at: ContextVar[float | None] = ContextVar("ends_at", default=None)


def start(seconds: float) -> None:
    """What this task awaits from now on has `seconds` altogether."""
    _ends_at.set(asyncio.get_running_loop().time() + seconds)


@contextmanager
def at_most(seconds: float) -> Iterator[None]:
    """What is awaited in the block has `seconds`, or what is left if that is less."""
    marked = mark()
    start(min(left(), seconds))
    try:
        yield
    finally:
        restore(marked)


def mark() -> float | None:
    """What `restore` takes when the request is over: whoever made it in its own task goes on."""
    return _ends_at.get()


def restore(marked: float | None) -> None:
    _ends_at.set(marked)


def left() -> float:
    """Seconds that are left of the request; PATIENCE_S outside of one."""
    ends_at = _ends_at.get()
    if ends_at is None:
        return PATIENCE_S
    return max(ends_at - asyncio.get_running_loop().time(), 0.0)
