"""`make clean`: stop what a killed run left, and remove its data."""

from __future__ import annotations

import os
import shutil
import sys
from pathlib import Path

from billing.common.embedded import EmbeddedError, EmbeddedPostgres, EmbeddedRedis
from billing.common.embedded.process import FolderLock
from billing.common.settings import SettingsError, load_settings

OURS = (
    *("postgres", "redis", "log", "replay", "metrics"),
    *("bonus.env", "secret.key", "demo.asked", "demo.json"),
)
LOCKS = ("postgres.lock", "redis.lock", "up.lock")


def forget(data_dir: Path) -> None:
    """Remove what `bonus up` keeps in the folder, and the folder when nothing else is in it.

    Raises EmbeddedError while a `bonus up` runs there.
    """
    lock = FolderLock(data_dir / "up.lock")
    lock.acquire()
    for server in (EmbeddedPostgres(data_dir), EmbeddedRedis(data_dir)):
        server.stop_leftover()
    for name in (*OURS, *LOCKS):
        path = data_dir / name
        if path.is_dir():
            shutil.rmtree(path)
        else:
            path.unlink(missing_ok=True)
    lock.release()
    if not any(data_dir.iterdir()):
        data_dir.rmdir()


def main() -> int:
    try:
        data_dir = load_settings(os.environ).data_dir
        if not data_dir.is_dir():
            print(f"There is nothing in {data_dir}.")  # noqa: T201
            return 0
        forget(data_dir)
    except (SettingsError, EmbeddedError) as error:
        print(f"make clean: {error}", file=sys.stderr)  # noqa: T201
        return 1
    except PermissionError as error:
        print(f"make clean: {error.filename} belongs to another user", file=sys.stderr)  # noqa: T201
        return 1
    print(f"Removed the data in {data_dir}; everything else is as it was.")  # noqa: T201
    return 0


if __name__ == "__main__":
    sys.exit(main())
