"""`bonus serve` as a process: several processes, one set of metrics; the key it may run with."""

from __future__ import annotations

import asyncio
import base64
import json
import os
import re
import signal
import sys
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import AsyncExitStack, suppress
from pathlib import Path

import httpx
import psutil
import pytest

from billing.common.settings import Settings
from billing.customers.secret import confirm_at
from tests.billing.faulty_line import faulty_line
from tests.ports import free_port

READY_S = 60
OTHER_KEY = base64.b64encode(bytes(reversed(range(32)))).decode()


class Serve:
    """A `bonus serve`, its address and its log."""

    def __init__(self, process: asyncio.subprocess.Process, port: int, log: Path) -> None:
        self.process = process
        self.url = f"http://127.0.0.1:{port}"
        self.log = log

    async def await_status(self, status: int) -> None:
        """Until /health/ready answers it."""
        async with asyncio.timeout(READY_S), httpx.AsyncClient(timeout=5) as client:
            while True:
                assert self.process.returncode is None, self.log.read_text()
                try:
                    if (await client.get(f"{self.url}/health/ready")).status_code == status:
                        return
                except httpx.TransportError:
                    pass  # not listening yet
                await asyncio.sleep(0.1)

    async def scrape(self) -> str:
        """/metrics, over a connection of its own: any process may answer."""
        async with httpx.AsyncClient(timeout=5) as client:
            return (await client.get(f"{self.url}/metrics")).text

    def workers(self) -> list[psutil.Process]:
        """The living API processes."""
        found = []
        for child in psutil.Process(self.process.pid).children():
            with suppress(psutil.NoSuchProcess):  # zombies, too
                if "spawn_main" in " ".join(child.cmdline()):
                    found.append(child)
        return found

    async def stop(self) -> int:
        if self.process.returncode is None:
            self.process.send_signal(signal.SIGTERM)
        return await self.process.wait()


Start = Callable[..., Awaitable[Serve]]


@pytest.fixture
async def serve(settings: Settings, tmp_path: Path) -> AsyncIterator[Start]:
    """`await serve(NAME=value)` starts one; the settings are the test's unless said."""
    async with AsyncExitStack() as stack:

        async def start(**environ: str) -> Serve:
            port = free_port()
            log = tmp_path / f"serve-{port}.log"
            whole = os.environ | {
                "DATABASE_URL": settings.database_url,
                "BONUS_SECRET_KEY": base64.b64encode(settings.secret_key).decode(),
                "BONUS_DATA_DIR": str(tmp_path / "data"),
                "BONUS_PORT": str(port),
                **environ,
            }
            with log.open("wb") as output:
                process = await asyncio.create_subprocess_exec(
                    *(sys.executable, "-m", "billing.app.cli", "serve"),
                    env=whole,
                    stdout=output,
                    stderr=output,
                )
            started = Serve(process, port, log)
            stack.push_async_callback(started.stop)
            return started

        yield start


async def test_several_processes_count_as_one_also_after_one_was_killed(
    serve: Start,
) -> None:
    running = await serve(BONUS_API_PROCESSES="2")
    await running.await_status(200)

    def misses(text: str) -> int:
        found = re.search(
            r'^bonus_http_request_seconds_count\{.*route="unmatched".* ([0-9.]+)$', text, re.M
        )
        return int(float(found[1])) if found else 0

    async with httpx.AsyncClient(timeout=5) as client:
        for _ in range(20):
            await client.get(f"{running.url}/nothing", headers={"connection": "close"})
    assert [misses(await running.scrape()) for _ in range(8)] == [20] * 8

    first, second = running.workers()
    assert 'bonus_lane_depth{lane="0"}' in await running.scrape()
    first.kill()
    async with asyncio.timeout(READY_S):
        while len(alive := running.workers()) < 2 or first in alive:
            with suppress(httpx.TransportError):  # the dead one had taken the connection
                await running.scrape()
    await running.await_status(200)
    assert [misses(await running.scrape()) for _ in range(8)] == [20] * 8
    assert second in running.workers()
    assert await running.stop() == 0
    lines = [json.loads(row) for row in running.log.read_text().splitlines() if row[:1] == "{"]
    (started,) = [row for row in lines if row["event"] == "api_started"]
    assert (started["processes"], started["port"]) == (2, int(running.url.rpartition(":")[2]))


async def test_a_taken_port_is_refused_and_its_owner_left_alone(serve: Start) -> None:
    first = await serve(BONUS_API_PROCESSES="2")
    await first.await_status(200)
    port = first.url.rpartition(":")[2]
    second = await serve(BONUS_API_PROCESSES="2", BONUS_PORT=port)
    assert await asyncio.wait_for(second.process.wait(), READY_S) == 1
    assert f"{port} is in use by another program" in second.log.read_text()
    assert "bonus_lane_depth" in await first.scrape()


async def test_another_secret_key_is_refused_at_the_start(serve: Start, settings: Settings) -> None:
    assert await confirm_at(settings.database_url, settings.secret_key)
    refused = await serve(BONUS_SECRET_KEY=OTHER_KEY)
    assert await asyncio.wait_for(refused.process.wait(), READY_S) == 1
    told = refused.log.read_text()
    assert "BONUS_SECRET_KEY is not the key this database was written with" in told
    assert "lost" in told
    assert "Traceback" not in told


async def test_another_secret_key_ends_the_service_when_the_database_comes_back(
    serve: Start, settings: Settings, tmp_path: Path
) -> None:
    assert await confirm_at(settings.database_url, settings.secret_key)
    async with faulty_line(settings.database_url, tmp_path) as line:
        await line.cut()
        started = await serve(BONUS_SECRET_KEY=OTHER_KEY, DATABASE_URL=line.url)
        await started.await_status(503)
        await line.mend()
        assert await asyncio.wait_for(started.process.wait(), READY_S) == 1
    assert "BONUS_SECRET_KEY is not the key" in started.log.read_text()
