"""What a replay must remember of its own: the points it decided to pay with, and what is posted.

A customer's balance moves on, so a decision made once must be sent again unchanged: it is on disk
before the receipt leaves. Answers are written along without haste; one that is lost in a crash is
asked for again under the same key, and comes back as a replay.
"""

from __future__ import annotations

import asyncio
import fcntl
import json
import os
from hashlib import sha256
from pathlib import Path
from typing import Any

import msgspec

from billing.common.money import format_amount, parse_amount


class JournalFault(Exception):
    """The journal cannot be used; the message says what to do."""


class Outcome(msgspec.Struct, frozen=True):
    """What one step moved, in 1/100 point."""

    accrued: int = 0
    redeemed: int = 0
    opening: int = 0


def place(data_dir: Path, source: str, url: str) -> Path:
    """Where the journal of a source's receipts at a service is kept."""
    service = sha256(url.rstrip("/").encode()).hexdigest()[:8]
    return data_dir / "replay" / f"{source}-{service}.jsonl"


class Journal:
    """A file of JSON lines, one key each. One replay at a time may hold it."""

    def __init__(self, path: Path, *, fresh: bool = False) -> None:
        """Open or create; `fresh` forgets what was there. Raises JournalFault."""
        self.path = path
        self.decided: dict[str, int] = {}
        self.posted: dict[str, Outcome] = {}
        self.refused: dict[str, str] = {}
        path.parent.mkdir(parents=True, exist_ok=True)
        self._file = os.open(path, os.O_RDWR | os.O_CREAT | os.O_APPEND, 0o644)
        try:
            fcntl.flock(self._file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            os.close(self._file)
            raise JournalFault(f"another replay is using {path}; wait until it ends") from None
        if fresh:
            os.ftruncate(self._file, 0)
        self._load()
        self._waiting: list[str] = []
        self._added = self._synced = 0
        self._syncing = asyncio.Lock()

    async def decide(self, key: str, points: int) -> None:
        """Keep how many points the receipt pays with; on disk when this returns."""
        self.decided[key] = points
        self._add({"key": key, "redeem": format_amount(points)})
        await self._sync(self._added)

    def post(self, key: str, outcome: Outcome) -> None:
        if self.posted.get(key) == outcome:
            return
        self.posted[key] = outcome
        self.refused.pop(key, None)
        moved = {
            name: format_amount(points)
            for name, points in msgspec.structs.asdict(outcome).items()
            if points
        }
        self._add({"key": key, "posted": moved})

    def refuse(self, key: str, code: str) -> None:
        self.refused[key] = code
        self._add({"key": key, "refused": code})

    async def close(self) -> None:
        await self._sync(self._added)
        os.close(self._file)

    def _add(self, entry: dict[str, Any]) -> None:
        self._waiting.append(json.dumps(entry) + "\n")
        self._added += 1

    async def _sync(self, upto: int) -> None:
        """Who waits while another writes finds his own lines written by the next: one fsync for
        all the tills that asked meanwhile."""
        async with self._syncing:
            if self._synced >= upto:
                return
            text, self._waiting, added = "".join(self._waiting), [], self._added
            await asyncio.to_thread(self._write, text.encode())
            self._synced = added

    def _write(self, data: bytes) -> None:
        while data:
            data = data[os.write(self._file, data) :]
        os.fsync(self._file)

    def _load(self) -> None:
        data = self.path.read_bytes()
        whole = data.rfind(b"\n") + 1
        os.ftruncate(self._file, whole)  # a crash may have cut the last line
        for number, row in enumerate(data[:whole].splitlines(), 1):
            try:
                self._take(json.loads(row))
            except (KeyError, TypeError, ValueError) as error:
                raise JournalFault(
                    f"{self.path}, line {number} is damaged ({error}); start over with --restart"
                ) from error

    def _take(self, entry: dict[str, Any]) -> None:
        key = entry["key"]
        if "redeem" in entry:
            self.decided[key] = parse_amount(entry["redeem"])
        elif "posted" in entry:
            moved = {name: parse_amount(points) for name, points in entry["posted"].items()}
            self.posted[key] = Outcome(**moved)
            self.refused.pop(key, None)
        else:
            self.refused[key] = entry["refused"]
