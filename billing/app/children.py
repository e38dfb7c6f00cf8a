"""The processes `bonus up` looks after, and what it does when one dies."""

from __future__ import annotations

import os
import subprocess
import sys
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Protocol

from billing.app.supervised import VARIABLE
from billing.common.embedded.process import EmbeddedError, tail

FIRST_BACKOFF_S = 1.0
LAST_BACKOFF_S = 30.0
STEADY_AFTER_S = 60.0
STOP_TIMEOUT_S = 40
LOG_LIMIT_BYTES = 10 << 20


class Server(Protocol):
    """What can be looked after."""

    @property
    def pid(self) -> int | None: ...
    def start(self) -> None: ...
    def stop(self) -> None: ...
    def kill(self) -> None: ...


class Command:
    """A command of `bonus` as a process of its own, writing to `<folder>/<name>.log`."""

    def __init__(self, name: str, environ: Mapping[str, str], folder: Path) -> None:
        self._name = name
        self._environ = {**environ, VARIABLE: str(os.getpid())}
        self.log = folder / f"{name}.log"
        self._process: subprocess.Popen[bytes] | None = None

    @property
    def pid(self) -> int | None:
        alive = self._process is not None and self._process.poll() is None
        return self._process.pid if self._process is not None and alive else None

    def start(self) -> None:
        self.log.parent.mkdir(parents=True, exist_ok=True)
        if self.log.exists() and self.log.stat().st_size > LOG_LIMIT_BYTES:
            self.log.replace(self.log.with_suffix(".log.1"))
        with self.log.open("ab") as log:
            self._process = subprocess.Popen(  # noqa: S603 - ourselves
                [sys.executable, "-m", "billing.app.cli", self._name],
                env=self._environ,
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=log,
                # Ctrl-C is for `bonus up` alone, which then stops one after the other.
                start_new_session=True,
            )

    def stop(self) -> None:
        if self._process is None:
            return
        self._process.terminate()
        try:
            self._process.wait(STOP_TIMEOUT_S)
        except subprocess.TimeoutExpired:
            self.kill()

    def kill(self) -> None:
        if self._process is not None:
            self._process.kill()
            self._process.wait()

    def why(self) -> str:
        """The end of its log."""
        return f"{tail(self.log)}\n(the whole log: {self.log})"


@dataclass
class Watched:
    """A server that is started again when it dies, later each time."""

    name: str
    server: Server
    _backoff_s: float = FIRST_BACKOFF_S
    _started_at: float = field(default_factory=time.monotonic)
    _again_at: float | None = None

    def look(self, say: Callable[[str], None]) -> None:
        """Notice a death, or end a wait by starting it again."""
        now = time.monotonic()
        if self._again_at is not None:
            if now >= self._again_at:
                self._start(say)
        elif self.server.pid is None:
            if now - self._started_at > STEADY_AFTER_S:
                self._backoff_s = FIRST_BACKOFF_S
            self._wait(say, f"{self.name} died")

    def _start(self, say: Callable[[str], None]) -> None:
        self._again_at = None
        self._started_at = time.monotonic()
        try:
            self.server.kill()
            self.server.start()
        except EmbeddedError as error:
            self._wait(say, f"{self.name} did not start: {error}")
        else:
            say(f"{self.name} is started again")

    def _wait(self, say: Callable[[str], None], what: str) -> None:
        say(f"{what}; starting it again in {self._backoff_s:.0f} s")
        self._again_at = time.monotonic() + self._backoff_s
        self._backoff_s = min(self._backoff_s * 2, LAST_BACKOFF_S)
