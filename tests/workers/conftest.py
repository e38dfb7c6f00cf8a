"""Commands of `bonus` as processes of their own."""

from __future__ import annotations

import asyncio
import base64
import os
import signal
import subprocess
import sys
from collections.abc import Awaitable, Callable, Iterator
from pathlib import Path

import pytest

from billing.common.settings import Settings

Start = Callable[..., "Process"]
Bonus = Callable[..., Awaitable[tuple[int, str]]]


class Process:
    """A running `bonus NAME`, and what it logs."""

    def __init__(self, name: str, environ: dict[str, str], log: Path) -> None:
        self._log = log
        with log.open("wb") as file:
            self._process = subprocess.Popen(
                [sys.executable, "-m", "billing.app.cli", name],
                env=environ,
                stdout=file,
                stderr=file,
            )

    @property
    def log(self) -> str:
        return self._log.read_text()

    @property
    def pid(self) -> int:
        return self._process.pid

    def send(self, number: signal.Signals) -> int:
        """Its exit code; one that ended before keeps its own."""
        if self._process.poll() is None:
            self._process.send_signal(number)
        return self._process.wait(60)


@pytest.fixture
def environ(settings: Settings, tmp_path: Path) -> dict[str, str]:
    return os.environ | {
        "DATABASE_URL": settings.database_url,
        "REDIS_URL": settings.redis_url,
        "BONUS_SECRET_KEY": base64.b64encode(settings.secret_key).decode(),
        "BONUS_DATA_DIR": str(tmp_path),
    }


@pytest.fixture
def bonus(environ: dict[str, str]) -> Bonus:
    """`await bonus("work", "status")`: the exit code and what was printed."""

    async def run(*words: str, **variables: str) -> tuple[int, str]:
        process = await asyncio.create_subprocess_exec(
            *(sys.executable, "-m", "billing.app.cli", *words),
            env=environ | variables,
            stdout=asyncio.subprocess.PIPE,
        )
        printed, _ = await process.communicate()
        return process.returncode or 0, printed.decode()

    return run


@pytest.fixture
def start(environ: dict[str, str], tmp_path: Path) -> Iterator[Start]:
    """`start("worker", REDIS_URL=…)` on the test's database."""
    started: list[Process] = []

    def begin(name: str, **variables: str) -> Process:
        log = tmp_path / f"{name}-{len(started)}.log"
        started.append(Process(name, environ | variables, log))
        return started[-1]

    yield begin
    for process in started:
        process.send(signal.SIGKILL)
