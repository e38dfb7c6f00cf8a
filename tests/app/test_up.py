"""`bonus up`: one command, from nothing to running and back (DESIGN 8)."""

from __future__ import annotations

import base64
import contextlib
import os
import shutil
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path

import httpx
import psutil
import pytest

from billing.app.forget import forget
from billing.common.embedded import EmbeddedError
from tests.ports import free_port

START_S = 90
CHILDREN = ("serve", "worker", "scheduler", "postgres", "redis-server")


class Up:
    """A `bonus up` in a process of its own, and what it wrote."""

    def __init__(self, data_dir: Path) -> None:
        self.port = free_port()
        self.data_dir = data_dir
        self.environ = {
            name: value
            for name, value in os.environ.items()
            if name not in {"DATABASE_URL", "BONUS_OWNER_DATABASE_URL", "REDIS_URL"}
        } | {"BONUS_DATA_DIR": str(data_dir), "BONUS_PORT": str(self.port)}
        self._output = data_dir.with_name("up.out")
        self._process: subprocess.Popen[bytes] | None = None

    @property
    def pid(self) -> int:
        assert self._process is not None
        return self._process.pid

    def start(self) -> None:
        """Returns when it has said where the service is."""
        with self._output.open("wb") as output:
            self._process = subprocess.Popen(
                [sys.executable, "-m", "billing.app.cli", "up", "--no-demo"],
                env=self.environ,
                stdout=output,
                stderr=output,
            )
        self.await_text("The service is at")

    def bonus(self, *words: str) -> subprocess.CompletedProcess[str]:
        return subprocess.run(
            [sys.executable, "-m", "billing.app.cli", *words],
            env=self.environ,
            capture_output=True,
            text=True,
            timeout=60,
            check=False,
        )

    def send(self, number: signal.Signals) -> int:
        assert self._process is not None
        self._process.send_signal(number)
        return self._process.wait(60)

    def await_text(self, text: str) -> None:
        assert self._process is not None
        end = time.monotonic() + START_S
        while text not in self.text():
            assert self._process.poll() is None, self.text()
            assert time.monotonic() < end, f"{text!r} is not in {self.text()!r}"
            time.sleep(0.1)

    def text(self) -> str:
        return self._output.read_text()

    def is_ready(self) -> bool:
        try:
            return httpx.get(f"http://127.0.0.1:{self.port}/health/ready", timeout=5).is_success
        except httpx.TransportError:
            return False

    def children(self) -> dict[str, psutil.Process]:
        """The living ones, by the word that tells them apart."""
        found: dict[str, psutil.Process] = {}
        for child in psutil.Process(self.pid).children():
            with contextlib.suppress(psutil.NoSuchProcess):  # or a zombie
                words = " ".join(child.cmdline()).split()
                found |= {name: child for name in CHILDREN if any(w.endswith(name) for w in words)}
        return found

    def leftovers(self) -> list[int]:
        """Processes that were started for this data folder."""
        found = []
        for process in psutil.process_iter():
            try:
                if process.environ().get("BONUS_DATA_DIR") == str(self.data_dir):
                    found.append(process.pid)
            except psutil.Error:
                continue  # it ended meanwhile, or is another user's
        return found


@pytest.fixture(scope="module")
def up() -> Iterator[Up]:
    place = Path(tempfile.mkdtemp(prefix="bonus-up-"))
    place.chmod(0o755)
    started = Up(place / "data")
    started.start()
    yield started
    started.send(signal.SIGTERM)
    forget(started.data_dir)
    assert not started.data_dir.exists(), "make clean leaves nothing of ours"
    shutil.rmtree(place)


def test_everything_runs_and_other_commands_find_it(up: Up) -> None:
    assert up.is_ready()
    assert up.children().keys() == set(CHILDREN)
    made = up.bonus("keys", "create", "--role", "admin", "--name", "test")
    assert (made.returncode, made.stderr) == (0, "")
    assert up.bonus("migrate", "--check").returncode == 0


def test_a_second_start_is_refused(up: Up) -> None:
    again = up.bonus("up")
    assert again.returncode == 1
    assert f"already run under process {up.pid}" in again.stderr
    with pytest.raises(EmbeddedError, match="already run"):
        forget(up.data_dir)
    assert up.is_ready()


def test_a_port_in_use_is_told_at_once_with_the_setting_to_change(up: Up) -> None:
    other = Up(up.data_dir.with_name("other"))
    other.environ["BONUS_PORT"] = str(up.port)
    started = time.monotonic()
    refused = other.bonus("up")
    assert refused.returncode == 1
    assert "BONUS_PORT=" in refused.stderr
    assert time.monotonic() - started < 15
    assert not other.data_dir.exists(), "nothing is left behind"


@pytest.mark.parametrize("words", [["audit"], ["keys", "list"], ["migrate"]])
def test_without_a_database_both_ways_out_are_told(up: Up, words: list[str]) -> None:
    other = Up(up.data_dir.with_name("nowhere"))
    refused = other.bonus(*words)
    assert refused.returncode == 2
    assert "DATABASE_URL is not set" in refused.stderr
    assert f"No `bonus up` runs in {other.data_dir}" in refused.stderr
    assert "`make run`" in refused.stderr
    assert not other.data_dir.exists()


def test_a_changed_secret_key_is_refused(up: Up) -> None:
    up.send(signal.SIGTERM)
    changed = subprocess.run(
        [sys.executable, "-m", "billing.app.cli", "up", "--no-demo"],
        env=up.environ | {"BONUS_SECRET_KEY": base64.b64encode(bytes(32)).decode()},
        capture_output=True,
        text=True,
        timeout=90,
        check=False,
    )
    assert changed.returncode == 1
    assert "BONUS_SECRET_KEY is not the key" in changed.stderr
    assert not up.leftovers()
    up.start()


@pytest.mark.parametrize("name", ["serve", "worker", "postgres", "redis-server"])
def test_what_dies_is_started_again(up: Up, name: str) -> None:
    dead = up.children()[name]
    dead.kill()
    end = time.monotonic() + 60
    while not (
        (alive := up.children().get(name)) is not None and alive.pid != dead.pid and up.is_ready()
    ):
        assert time.monotonic() < end, up.text()
        time.sleep(0.2)


def test_after_a_kill_the_next_start_takes_over(up: Up) -> None:
    up.send(signal.SIGKILL)
    started = time.monotonic()
    up.start()
    assert up.is_ready()
    assert time.monotonic() - started < 60


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM, signal.SIGHUP])
def test_each_way_to_stop_leaves_nothing_running(up: Up, number: signal.Signals) -> None:
    children = list(up.children().values())
    assert len(children) == 5
    assert up.send(number) == 0
    assert not [child for child in children if child.is_running()]
    assert not up.leftovers()
    assert not (up.data_dir / "bonus.env").exists()
    up.start()
