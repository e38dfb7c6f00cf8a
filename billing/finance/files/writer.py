"""What every writer of files can do, and what it is told of the report."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Protocol
from zoneinfo import ZoneInfo

import msgspec

from billing.finance.table import Column, Row


class Head(msgspec.Struct, frozen=True):
    """What stands above the rows. Times are shown in `zone`."""

    title: str
    report: str
    filters: dict[str, str]
    columns: tuple[Column, ...]
    zone: ZoneInfo

    def lines(self) -> list[tuple[str, str]]:
        """The report, its time zone and its filter, a pair a line."""
        return [("report", self.title), ("time zone", self.zone.key), *self.filters.items()]


class Writer(Protocol):
    """Writes one file. Blocking: it is called in a thread."""

    def add(self, rows: Sequence[Row]) -> None: ...
    def close(self, totals: Row | None) -> None: ...
    def drop(self) -> None:
        """Give up: the file is of no use."""
