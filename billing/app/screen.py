"""What `bonus up` shows: a spinner for a person, plain lines for a log."""

from __future__ import annotations

import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager

from rich.console import Console


class Screen:
    """Steps and remarks, on stdout."""

    def __init__(self) -> None:
        self._console = Console(file=sys.stdout, highlight=False, markup=False, soft_wrap=True)
        self._say = self._line

    def say(self, text: str) -> None:
        """A remark; inside a step on a terminal it replaces the last one."""
        self._say(text)

    @contextmanager
    def step(self, title: str) -> Iterator[None]:
        """Show that something goes on, then how long it took."""
        started = time.monotonic()
        if self._console.is_terminal:
            with self._console.status(title) as status:
                self._say = lambda text: status.update(f"{title}: {text}")
                try:
                    yield
                finally:
                    self._say = self._line
        else:
            self._line(f"{title} ...")
            yield
        self._line(f"{title}: done in {time.monotonic() - started:.1f} s")

    def _line(self, text: str) -> None:
        self._console.print(text)
