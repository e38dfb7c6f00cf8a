"""A report as a table: columns of known kinds, rows, the filter it was made with.

JSON, files and the command line all show the same table.
"""

from __future__ import annotations

from collections.abc import AsyncGenerator, Sequence
from datetime import datetime
from typing import Any, Literal
from zoneinfo import ZoneInfo

import msgspec

from billing.common.money import format_amount

Kind = Literal["text", "amount", "count", "time", "ratio"]
"""`amount`: 1/100 of a point or of money, an integer inside; `ratio`: a decimal string."""

Row = tuple[Any, ...]
MAX_FILE_ROWS = 1_000_000


class Column(msgspec.Struct, frozen=True):
    name: str
    kind: Kind = "text"


class Table(msgspec.Struct, frozen=True, kw_only=True):
    """`chunks` gives the rows, some at a time, once; whoever stops before their end closes it.
    `totals` stands below them in files."""

    report: str
    title: str
    filters: dict[str, str]
    columns: tuple[Column, ...]
    chunks: AsyncGenerator[Sequence[Row], None]
    totals: Row | None = None


async def at_once(rows: Sequence[Row]) -> AsyncGenerator[Sequence[Row], None]:
    """Rows that are all there."""
    yield rows


def written(value: Any, kind: Kind, zone: ZoneInfo) -> Any:
    """A value as JSON and the screen show it."""
    if value is None:
        return None
    if kind == "amount":
        return format_amount(value)
    if isinstance(value, datetime):
        return value.astimezone(zone)
    return value


def document(row: Row, columns: Sequence[Column], zone: ZoneInfo) -> dict[str, Any]:
    """A row by the names of its columns."""
    return {
        column.name: written(value, column.kind, zone)
        for column, value in zip(columns, row, strict=True)
    }
