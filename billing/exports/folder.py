"""A folder of parts. A part is there when its manifest is: that is written last, at once, and
never over another, so a run that dies leaves nothing that counts.

    journal/part-00000001-<token>.parquet
    manifest/00000001.json
"""

from __future__ import annotations

import fcntl
import hashlib
import os
import re
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import datetime
from pathlib import Path
from typing import Any, Final
from uuid import UUID, uuid4

import msgspec

FORMAT_VERSION: Final = 1
_PIECE: Final = 1 << 20
_OURS: Final = re.compile(
    r"part-([0-9]{8,})-[0-9a-f]{12}\.(csv|parquet)|[0-9]{8,}\.[0-9a-f]{32}\.tmp"
)


class Manifest(msgspec.Struct, frozen=True, kw_only=True):
    """What a part holds: every posting of the transactions from `since` on and before `until`, by
    commit order. Parts are consecutive: the next one's `since` is this one's `until`."""

    version: int
    sequence: int
    ledger: UUID
    """The first transaction of the ledger it comes from: one folder is of one ledger."""
    file: str
    format: str
    since: int
    until: int
    rows: int
    bytes: int
    sha256: str
    made_at: datetime
    columns: list[dict[str, str]]


class FolderError(Exception):
    """The folder is not what an export can go on from."""


class Folder:
    """Where an export goes to. `with folder.held():` while it is written to."""

    def __init__(self, place: Path) -> None:
        self._place = place
        self._parts = place / "journal"
        self._manifests = place / "manifest"

    @contextmanager
    def held(self) -> Iterator[None]:
        """One run at a time on this machine. Raises FolderError when another one is at it."""
        self._parts.mkdir(parents=True, exist_ok=True)
        self._manifests.mkdir(exist_ok=True)
        with (self._place / ".lock").open("w") as lock:
            try:
                fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
            except BlockingIOError:
                raise FolderError(f"Another export writes to {self._place}.") from None
            self._sweep()
            yield

    def manifests(self) -> list[Manifest]:
        """All that counts, in order. Raises FolderError for a gap or an unreadable one."""
        found = []
        for path in sorted(self._manifests.glob("*.json")):
            try:
                found.append(msgspec.json.decode(path.read_bytes(), type=Manifest))
            except msgspec.MsgspecError as error:
                raise FolderError(f"{path} is not a manifest: {error}") from None
        for at, one in enumerate(found, 1):
            if one.sequence != at or (at > 1 and one.since != found[at - 2].until):
                raise FolderError(
                    f"The manifests of {self._place} have a gap before {one.sequence}."
                )
        return found

    def new_part(self, sequence: int, extension: str) -> Path:
        """Where to write a part to, before it counts."""
        return self._parts / f"part-{sequence:08d}-{uuid4().hex[:12]}.{extension}"

    def keep(self, part: Path, **manifest: Any) -> Manifest:
        """Make a written part count. Raises FolderError when another run was first."""
        digest, size = _digest(part)
        made = Manifest(
            version=FORMAT_VERSION,
            file=f"{self._parts.name}/{part.name}",
            bytes=size,
            sha256=digest,
            **manifest,
        )
        final = self._manifests / f"{made.sequence:08d}.json"
        written = final.with_suffix(f".{uuid4().hex}.tmp")
        _write_durably(written, msgspec.json.format(msgspec.json.encode(made), indent=2))
        try:
            os.link(written, final)  # Unlike a rename it never takes another's place.
        except FileExistsError:
            part.unlink()
            raise FolderError(f"Another export wrote part {made.sequence} first.") from None
        finally:
            written.unlink()
        _sync(self._parts)
        _sync(self._manifests)
        return made

    def _sweep(self) -> None:
        """Remove what dead runs left behind: our files of which no manifest speaks. Others' stay:
        /var/log has a `journal` of its own. Raises FolderError when manifests were lost."""
        known = self.manifests()
        kept = {Path(one.file).name for one in known}
        left = [
            (one, ours)
            for one in (*self._parts.iterdir(), *self._manifests.glob("*.tmp"))
            if one.name not in kept and (ours := _OURS.fullmatch(one.name))
        ]
        for one, ours in left:
            if int(ours[1] or 0) > len(known) + 1:
                raise FolderError(
                    f"{one} has no manifest, and is not what a run left that ended early: were "
                    "manifests removed? Put them back, or begin a new folder."
                )
        for one, _ in left:
            one.unlink()


def _digest(path: Path) -> tuple[str, int]:
    whole, size = hashlib.sha256(), 0
    with path.open("rb") as file:
        while piece := file.read(_PIECE):
            whole.update(piece)
            size += len(piece)
        os.fsync(file.fileno())
    return whole.hexdigest(), size


def _write_durably(path: Path, content: bytes) -> None:
    with path.open("wb") as file:
        file.write(content + b"\n")
        file.flush()
        os.fsync(file.fileno())


def _sync(folder: Path) -> None:
    handle = os.open(folder, os.O_RDONLY)
    try:
        os.fsync(handle)
    finally:
        os.close(handle)
