"""What both embedded servers need: a lock on their folder, a socket folder, a watched start."""

from __future__ import annotations

import fcntl
import os
import shutil
import subprocess
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from typing import IO

SOCKET_PATH_LIMIT = 100
"""Unix socket paths end at 104 bytes on macOS and 108 on Linux."""


class EmbeddedError(Exception):
    """An embedded server cannot run; the message says what to do."""


class FolderLock:
    """One process at a time may run a server on a folder; the kernel frees it at its death."""

    def __init__(self, path: Path) -> None:
        self._path = path
        self._file: IO[str] | None = None

    def acquire(self) -> None:
        """Raises EmbeddedError when another process holds it."""
        file = self._path.open("a+", encoding="ascii")
        try:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError as error:
            file.seek(0)
            holder = file.read().strip()
            file.close()
            raise EmbeddedError(
                f"The servers in {self._path.parent} already run under process {holder}. Use "
                f"those, stop them first (Ctrl-C there, or `kill {holder}`), or choose another "
                "folder by BONUS_DATA_DIR."
            ) from error
        file.truncate(0)
        file.write(str(os.getpid()))
        file.flush()
        self._file = file

    def release(self) -> None:
        if self._file is not None:
            self._file.close()
            self._file = None


class SocketFolder:
    """Where a server's Unix socket is: `home`, or a private folder where that path is too long.

    The private folder's name is kept in `home/socket`, for whoever finds the server later.
    """

    def __init__(self, home: Path, socket_name: str) -> None:
        self._home = home
        self._note = home / "socket"
        self._fits = len(os.fsencode(home / socket_name)) <= SOCKET_PATH_LIMIT

    def find(self) -> Path | None:
        """The folder of the last start, if it is still there."""
        if self._fits:
            return self._home
        if not self._note.exists():
            return None
        noted = Path(self._note.read_text(encoding="utf-8"))
        return noted if self._is_private(noted) else None

    def make(self, give: Callable[[Path], None]) -> Path:
        """The folder for this start; `give` makes it the server's. A restart keeps its folder."""
        found = self.find()
        if found is not None:
            return found
        folder = Path(tempfile.mkdtemp(prefix="bonus-"))
        give(folder)
        self._note.write_text(str(folder), encoding="utf-8")
        return folder

    def remove(self) -> None:
        folder = self.find()
        if folder is not None and folder != self._home:
            shutil.rmtree(folder)
        self._note.unlink(missing_ok=True)

    def _is_private(self, folder: Path) -> bool:
        """Temporary folders are shared: another user may have made one of that name since."""
        if folder.is_symlink() or not folder.is_dir():
            return False
        found = folder.stat()
        return found.st_uid == self._home.stat().st_uid and found.st_mode & 0o077 == 0


def wait_until(
    ready: Callable[[], bool], server: subprocess.Popen[bytes], timeout_s: float
) -> bool:
    """Wait for a started server. False when it ended; EmbeddedError when it takes too long."""
    end = time.monotonic() + timeout_s
    while time.monotonic() < end:
        if server.poll() is not None:
            return False
        if ready():
            return True
        time.sleep(0.02)
    server.kill()
    server.wait()
    raise EmbeddedError(f"{server.args!r} was not ready after {timeout_s:.0f} s")


def tail(log: Path, lines: int = 12) -> str:
    """The end of a log, for an error message."""
    if not log.exists():
        return "(no log)"
    return "\n".join(log.read_text(encoding="utf-8", errors="replace").splitlines()[-lines:])
