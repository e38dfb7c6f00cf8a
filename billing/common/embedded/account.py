"""Which operating system user the embedded servers run as.

PostgreSQL refuses to run as root. A root's `bonus up` therefore runs it as the owner of the
project's folder, or as `nobody` when that is root too. Where that user cannot enter the folders
above (a clone in /root), those folders are left as they are: the server gets the capability to
pass them, through util-linux's `setpriv`.
"""

from __future__ import annotations

import os
import pwd
import shutil
import subprocess
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from billing.common.embedded.process import EmbeddedError

CAPABILITIES = ("dac_read_search", "dac_override")
"""The weaker first: it lets a process enter and read any folder, but write none."""


@dataclass(frozen=True)
class Account:
    """The user the servers run as; `capability` lets it pass folders that are closed to it."""

    uid: int
    gid: int
    capability: str | None = None

    def popen(self, command: list[str], **options: Any) -> subprocess.Popen[bytes]:
        """Start a command as this user, apart from the terminal's signals."""
        options |= {"cwd": "/", "stdin": subprocess.DEVNULL, "start_new_session": True}
        if self.capability is not None:
            command = [*self._setpriv(), *command]
        elif os.geteuid() == 0:
            options |= {"user": self.uid, "group": self.gid, "extra_groups": []}
        return subprocess.Popen(command, **options)  # noqa: S603 - our own servers

    def run(self, command: list[str], timeout_s: float) -> subprocess.CompletedProcess[bytes]:
        """Run a command to its end; its output is in `stdout`."""
        server = self.popen(command, stdout=subprocess.PIPE, stderr=subprocess.STDOUT)
        try:
            output, _ = server.communicate(timeout=timeout_s)
        except subprocess.TimeoutExpired:
            server.kill()
            output, _ = server.communicate()
        except BaseException:
            server.kill()
            server.wait()
            raise
        return subprocess.CompletedProcess(command, server.returncode, output)

    def _setpriv(self) -> list[str]:
        return [
            "setpriv",
            f"--reuid={self.uid}",
            f"--regid={self.gid}",
            "--clear-groups",
            # Without it access(2), by which PostgreSQL looks for itself, ignores the capability.
            "--securebits=+no_setuid_fixup",
            f"--inh-caps=+{self.capability}",
            f"--ambient-caps=+{self.capability}",
        ]

    def give(self, path: Path) -> None:
        """Make the account the owner of `path`."""
        if os.geteuid() == 0:
            os.chown(path, self.uid, self.gid)


def choose_account(folder: Path, program: Path) -> Account:
    """An account that can run `program` on `folder`, which exists. Raises EmbeddedError."""
    if os.geteuid() != 0:
        return _ourselves(folder)
    uid, gid = _owner(folder)
    capabilities = CAPABILITIES if shutil.which("setpriv") else ()
    for capability in (None, *capabilities):
        account = Account(uid, gid, capability)
        if _reaches(account, folder.parent, program):
            return account
    raise EmbeddedError(
        f"PostgreSQL does not run as root, and the user {_name(uid)} it would run as cannot enter "
        f"{folder} or {program.parent}. Clone into a folder all users may enter (such as /opt), "
        "run as an ordinary user, install util-linux (setpriv), or give DATABASE_URL."
    )


def _ourselves(folder: Path) -> Account:
    owner = folder.stat().st_uid
    if owner != os.geteuid():
        raise EmbeddedError(
            f"{folder} belongs to the user {_name(owner)}. Run as that user, choose another "
            "folder by BONUS_DATA_DIR, or let that user remove it."
        )
    return Account(os.geteuid(), os.getegid())


def _owner(folder: Path) -> tuple[int, int]:
    """The first owner that is not root, from the folder upwards to the project's."""
    for place in (folder, folder.parent, folder.parent.parent):
        found = place.stat()
        if found.st_uid != 0:
            return found.st_uid, found.st_gid
    nobody = pwd.getpwnam("nobody")
    return nobody.pw_uid, nobody.pw_gid


def _name(uid: int) -> str:
    try:
        return pwd.getpwuid(uid).pw_name
    except KeyError:
        return str(uid)


def _reaches(account: Account, folder: Path, program: Path) -> bool:
    """Whether the account can enter the folder and start the program."""
    script = 'cd "$1" && exec "$2" --version'
    command = ["/bin/sh", "-c", script, "sh", str(folder), str(program)]
    return account.run(command, timeout_s=30).returncode == 0
