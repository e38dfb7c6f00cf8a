"""What a running `bonus up` tells the other commands: `<data_dir>/bonus.env`.

The file is shell: `set -a; . .data/bonus.env` gives the same to any other program. It holds keys
and is readable by its owner only.
"""

from __future__ import annotations

import os
import shlex
from collections.abc import Mapping
from pathlib import Path

from billing.common import settings_values as values

FILE = "bonus.env"
DATABASE = ("DATABASE_URL", "BONUS_OWNER_DATABASE_URL")


def remember(data_dir: Path, variables: Mapping[str, str]) -> None:
    lines = [f"{name}={shlex.quote(value)}\n" for name, value in variables.items()]
    write_private(data_dir / FILE, "".join(lines))


def forget(data_dir: Path) -> None:
    (data_dir / FILE).unlink(missing_ok=True)


def recall(environ: Mapping[str, str]) -> dict[str, str]:
    """The environment, filled up with what a running `bonus up` of the same folder says."""
    data_dir = values.path(environ.get("BONUS_DATA_DIR") or ".data")
    try:
        text = (data_dir / FILE).read_text(encoding="utf-8")
    except (FileNotFoundError, PermissionError, NotADirectoryError):
        return dict(environ)
    kept = dict(word.split("=", 1) for word in shlex.split(text))
    if environ.get("DATABASE_URL"):
        # Both or none: an owner of one database and a service of another would be a trap.
        kept = {name: value for name, value in kept.items() if name not in DATABASE}
    return kept | {name: value for name, value in environ.items() if value}


def write_private(path: Path, text: str) -> None:
    """Replace a file at once, readable by the folder's owner only."""
    new = path.with_name(path.name + ".new")
    new.unlink(missing_ok=True)
    descriptor = os.open(new, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
    with open(descriptor, "w", encoding="utf-8") as file:
        file.write(text)
        if os.geteuid() == 0:
            # A user whose folder it is may go on where root left off.
            owner = path.parent.stat()
            os.fchown(file.fileno(), owner.st_uid, owner.st_gid)
    new.replace(path)
