"""Names met so far. A file of a million lines has as many: they stand on disk, not in memory."""

from __future__ import annotations

import sqlite3
from typing import Final

CACHE_KIB: Final = 32_768


class Seen:
    """A set of texts in a temporary file of its own, which is gone when it is."""

    def __init__(self) -> None:
        self._names = sqlite3.connect("", isolation_level=None)
        self._names.execute("PRAGMA synchronous = OFF")
        self._names.execute("PRAGMA journal_mode = OFF")
        self._names.execute(f"PRAGMA cache_size = -{CACHE_KIB}")
        self._names.execute("CREATE TABLE names (name TEXT PRIMARY KEY) WITHOUT ROWID")
        self._names.execute("BEGIN")
        self.count = 0

    def add(self, name: str) -> bool:
        """False when it was met before."""
        new = self._names.execute("INSERT OR IGNORE INTO names VALUES (?)", (name,)).rowcount == 1
        self.count += new
        return new
