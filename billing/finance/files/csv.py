"""Reports as CSV (RFC 4180, UTF-8): the filter in lines that begin with #, then the header."""

from __future__ import annotations

import csv
import re
from collections.abc import Sequence
from pathlib import Path
from typing import Any, Final

from billing.finance.files.writer import Head
from billing.finance.table import Column, Row, written

_FORMULA: Final = r"(?=[=+\-@＝＋－＠\t\r\n])"
_IN_CELL: Final = re.compile(rf"(^|[;\t\r\n]){_FORMULA}")
"""Where a formula would begin. Some countries' spreadsheets end a cell at a semicolon, and know
nothing of quotes in the midst of theirs."""
_IN_LINE: Final = re.compile(rf"([,;\t\r\n] ?){_FORMULA}")


def safe(text: str) -> str:
    """Text that no spreadsheet takes for a formula: an apostrophe stands before one."""
    return _IN_CELL.sub(r"\1'", text)


class CsvWriter:
    def __init__(self, path: Path, head: Head) -> None:
        self._head = head
        self._file = path.open("w", encoding="utf-8", newline="")
        self._csv = csv.writer(self._file)
        for name, value in head.lines():
            told = _IN_LINE.sub(r"\1'", " ".join(value.split()))
            self._file.write(f"# {name}: {told}\r\n")
        self._csv.writerow([column.name for column in head.columns])

    def add(self, rows: Sequence[Row]) -> None:
        columns = self._head.columns
        self._csv.writerows(
            [self._cell(value, column) for value, column in zip(row, columns, strict=True)]
            for row in rows
        )

    def close(self, totals: Row | None) -> None:
        """Totals are left out: whoever adds a column up would count them twice."""
        self._file.close()

    def drop(self) -> None:
        self._file.close()

    def _cell(self, value: Any, column: Column) -> Any:
        shown = written(value, column.kind, self._head.zone)
        if column.kind == "time" and shown is not None:
            return shown.isoformat()
        return safe(shown) if column.kind == "text" and isinstance(shown, str) else shown
