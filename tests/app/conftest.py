"""The service as it is run: `bonus serve` in a process of its own, on a free port."""

from __future__ import annotations

import asyncio
import os
import signal
import sys
from base64 import b64encode
from collections.abc import AsyncIterator
from pathlib import Path

import httpx
import pytest

from billing.common.settings import Settings
from tests.app.running import RunningService
from tests.ports import free_port

READY_S = 60


@pytest.fixture
async def service(settings: Settings, tmp_path: Path) -> AsyncIterator[RunningService]:
    """A service on an empty database, and the key of an administrator."""
    port = free_port()
    environ = os.environ | {
        "DATABASE_URL": settings.database_url,
        "BONUS_OWNER_DATABASE_URL": settings.owner_database_url,
        "REDIS_URL": settings.redis_url,
        "BONUS_SECRET_KEY": b64encode(settings.secret_key).decode(),
        "BONUS_DATA_DIR": str(tmp_path / "data"),
        "BONUS_PORT": str(port),
    }
    log = (tmp_path / "serve.log").open("wb")
    process = await _bonus(environ, "serve", stdout=log, stderr=log)
    try:
        url = f"http://127.0.0.1:{port}"
        await _ready(url, process, tmp_path / "serve.log")
        made = await _bonus(environ, "keys", "create", "--role", "admin", "--name", "test")
        key, _ = await made.communicate()
        yield RunningService(url, key.decode().strip(), environ)
    finally:
        if process.returncode is None:
            process.send_signal(signal.SIGTERM)
        await process.wait()
        log.close()


async def _bonus(
    environ: dict[str, str],
    *words: str,
    stdout: object = asyncio.subprocess.PIPE,
    **options: object,
) -> asyncio.subprocess.Process:
    return await asyncio.create_subprocess_exec(
        *(sys.executable, "-m", "billing.app.cli", *words),
        env=environ,
        stdout=stdout,  # type: ignore[arg-type]
        **options,  # type: ignore[arg-type]
    )


async def _ready(url: str, process: asyncio.subprocess.Process, log: Path) -> None:
    async with asyncio.timeout(READY_S), httpx.AsyncClient(timeout=2) as client:
        while True:
            if process.returncode is not None:
                pytest.fail(await asyncio.to_thread(log.read_text))
            try:
                if (await client.get(f"{url}/health/ready")).is_success:
                    return
            except httpx.TransportError:
                pass  # not listening yet
            await asyncio.sleep(0.1)
