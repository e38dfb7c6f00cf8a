"""`bonus serve` in a process of its own, that a test may start, kill and start again."""

from __future__ import annotations

import asyncio
import os
import signal
import ssl
import subprocess
import sys
from base64 import b64encode
from collections.abc import Mapping
from contextlib import suppress
from pathlib import Path

import httpx
import psutil

from billing.common.settings import Settings
from tests.ports import free_port

READY_S = 60
STOP_S = 40
TRUSTING_NOBODY = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
"""For clients that speak plain HTTP: to read the machine's authorities takes each longer than a
request."""


def environ_of(settings: Settings, folder: Path) -> dict[str, str]:
    """The environment of a `bonus` command that works with `settings`."""
    return os.environ | {
        "DATABASE_URL": settings.database_url,
        "BONUS_OWNER_DATABASE_URL": settings.owner_database_url,
        "REDIS_URL": settings.redis_url,
        "BONUS_ADJUSTMENT_APPROVAL_POINTS": "1000000000000.00",
        "BONUS_SECRET_KEY": b64encode(settings.secret_key).decode(),
        "BONUS_DATA_DIR": str(folder / "data"),
    }


class Serving:
    """One `bonus serve`, always on the same port; its log goes to `<folder>/serve.log`."""

    def __init__(self, environ: Mapping[str, str], folder: Path) -> None:
        port = free_port()
        self.url = f"http://127.0.0.1:{port}"
        self.environ = {**environ, "BONUS_PORT": str(port)}
        self.log = folder / "serve.log"
        self._process: subprocess.Popen[bytes] | None = None

    def start(self) -> None:
        with self.log.open("ab") as log:
            self._process = subprocess.Popen(
                [sys.executable, "-m", "billing.app.cli", "serve"],
                env=self.environ,
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=log,
            )

    async def ready(self) -> None:
        """Wait until it takes requests and its database answers."""
        async with (
            asyncio.timeout(READY_S),
            httpx.AsyncClient(timeout=2, verify=TRUSTING_NOBODY) as client,
        ):
            while True:
                process = self._process
                assert process is not None
                assert process.poll() is None, self.log.read_text()
                with suppress(httpx.TransportError):
                    if (await client.get(f"{self.url}/health/ready")).is_success:
                        return
                await asyncio.sleep(0.05)

    def kill(self) -> None:
        """kill -9 all of it: no process gets to say good-bye."""
        assert self._process is not None
        with suppress(psutil.NoSuchProcess):
            whole = psutil.Process(self._process.pid)
            for process in [whole, *whole.children(recursive=True)]:
                with suppress(psutil.NoSuchProcess):
                    process.kill()
        self._process.wait()

    def kill_worker(self) -> None:
        """kill -9 the process that serves; `bonus serve` replaces it."""
        assert self._process is not None
        for process in psutil.Process(self._process.pid).children():
            if "resource_tracker" not in " ".join(process.cmdline()):
                process.kill()

    def stop(self) -> None:
        """End as on SIGTERM: what was accepted is answered."""
        if self._process is None:
            return
        self._process.send_signal(signal.SIGTERM)
        try:
            self._process.wait(STOP_S)
        finally:
            self.kill()

    def complaints(self) -> str:
        """What it logged as an error of its own."""
        lines = self.log.read_text().splitlines()
        return "\n".join(line for line in lines if '"level": "error"' in line)

    def bonus(self, *words: str) -> subprocess.CompletedProcess[str]:
        """Run another command of `bonus` beside it."""
        return subprocess.run(
            [sys.executable, "-m", "billing.app.cli", *words],
            env=self.environ,
            capture_output=True,
            text=True,
            timeout=120,
            check=False,
        )
