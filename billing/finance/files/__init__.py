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
from typing import Final, ParamSpec, TypeVar
from zoneinfo import ZoneInfo

from billing.common.errors import ValidationFailed
from billing.finance.files.csv import CsvWriter
from billing.finance.files.parquet import ParquetWriter
from billing.finance.files.writer import Head, Writer
from billing.finance.files.xlsx import XlsxWriter
from billing.finance.table import Table

P = ParamSpec("P")
T = TypeVar("T")

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
    writer = await _to_its_end(WRITERS[kind], path, head)
    count = 0
    try:
        async with aclosing(table.chunks) as chunks:
            async for rows in chunks:
                await _to_its_end(writer.add, rows)
                count += len(rows)
        await _to_its_end(writer.close, table.totals)
    except BaseException:
        # Closing a workbook takes seconds, which the tills of this process would wait.
        await _to_its_end(writer.drop)
        raise
    return count


async def _to_its_end(work: Callable[P, T], *args: P.args, **kwargs: P.kwargs) -> T:
    """What `work` returns, in a thread. Whoever is cancelled waits for its end, however often:
    a writer is never used by two threads."""
    going = asyncio.ensure_future(asyncio.to_thread(work, *args, **kwargs))
    cancelled = False
    while not going.done():
        try:
            await asyncio.wait((going,))
        except asyncio.CancelledError:
            cancelled = True
    if cancelled:
        raise asyncio.CancelledError
    return going.result()
