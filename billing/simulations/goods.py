"""Winners and losers by product group.

A million customers times the groups they buy of do not fit into memory, and few of them win or
lose: the differences go to a temporary file, which SQLite sorts and adds up.
"""

from __future__ import annotations

import sqlite3
from collections.abc import Iterator
from contextlib import contextmanager
from uuid import UUID

from billing.simulations.model import Side, Sides

BUFFERED = 10_000
"""Differences kept before they are written down."""

_LOW_64 = (1 << 64) - 1
_MIDDLE = 1 << 63

_SUMS = """
SELECT grp, count(*) FILTER (WHERE points > 0), coalesce(sum(points) FILTER (WHERE points > 0), 0),
       count(*) FILTER (WHERE points < 0), coalesce(sum(points) FILTER (WHERE points < 0), 0)
FROM (SELECT grp, customer, sum(points) AS points FROM differences GROUP BY grp, customer)
GROUP BY grp
"""


class GoodsDifferences:
    """What each customer would have got more or less on lines of each product group."""

    def __init__(self, file: sqlite3.Connection) -> None:
        self._file = file
        self._groups: dict[str, int] = {}
        self._buffer: list[tuple[int, int, int]] = []
        file.execute("CREATE TABLE differences (grp INTEGER, customer INTEGER, points INTEGER)")

    def add(self, group: str, customer_id: UUID, difference: int) -> None:
        number = self._groups.setdefault(group, len(self._groups))
        if not difference:
            return
        self._buffer.append((number, (customer_id.int & _LOW_64) - _MIDDLE, difference))
        if len(self._buffer) >= BUFFERED:
            self._flush()

    def sides(self) -> dict[str, Sides]:
        """Of every group that was added, by its code. Takes seconds when there are millions."""
        self._flush()
        found = {
            row[0]: Sides(Side(row[1], row[2]), Side(row[3], row[4]))
            for row in self._file.execute(_SUMS)
        }
        return {group: found.get(number, Sides()) for group, number in self._groups.items()}

    def _flush(self) -> None:
        self._file.executemany("INSERT INTO differences VALUES (?, ?, ?)", self._buffer)
        self._buffer.clear()


@contextmanager
def goods_differences() -> Iterator[GoodsDifferences]:
    """Empty ones, whose file is forgotten at the end. Threads may take turns with them."""
    # An empty name is a file that SQLite deletes itself, even when the process is killed.
    file = sqlite3.connect("", isolation_level=None, check_same_thread=False)
    try:
        file.execute("PRAGMA journal_mode = OFF")
        file.execute("BEGIN")
        yield GoodsDifferences(file)
    finally:
        file.close()
