"""Reports as files: CSV, XLSX and Parquet, a module each, all with the filter shown.

A writer is opened on a path, takes rows some at a time and is closed with the totals; none holds
more than a chunk in memory.
"""

from __future__ import annotations

import asyncio
import importlib.util
from collections.abc import Callable
from contextlib import aclosing
from pathlib import Path
from typing import Final
from zoneinfo import ZoneInfo

from billing.common.errors import ValidationFailed
from billing.finance.files.csv import CsvWriter
from billing.finance.files.parquet import ParquetWriter
from billing.finance.files.writer import Head, Writer
from billing.finance.files.xlsx import XlsxWriter
from billing.finance.table import Table

WRITERS: Final[dict[str, Callable[[Path, Head], Writer]]] = {
    "csv": CsvWriter,
    "xlsx": XlsxWriter,
    "parquet": ParquetWriter,
}
MEDIA_TYPES: Final = {
    "csv": b"text/csv; charset=utf-8",
    "xlsx": b"application/vnd.openxmlformats-officedocument.spreadsheetml.sheet",
    "parquet": b"application/vnd.apache.parquet",
}


async def write_file(table: Table, kind: str, path: Path, zone: ZoneInfo) -> int:
    """Write a table to `path`; how many rows. Raises ValidationFailed when Parquet is not there."""
    if kind == "parquet" and importlib.util.find_spec("pyarrow") is None:
        raise ValidationFailed.at(
            "/query/format",
            "Parquet needs the package pyarrow: pip install 'bonus-ledger[parquet]'",
        )
    head = Head(table.title, table.report, table.filters, table.columns, zone)
    writer = await asyncio.to_thread(WRITERS[kind], path, head)
    count = 0
    try:
        async with aclosing(table.chunks) as chunks:
            async for rows in chunks:
                await asyncio.to_thread(writer.add, rows)
                count += len(rows)
        await asyncio.to_thread(writer.close, table.totals)
    except BaseException:
        writer.drop()
        raise
    return count
