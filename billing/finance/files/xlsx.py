"""Reports as XLSX: the filter above the table, amounts as numbers, totals in bold below.

Rows go to disk as they come. Text is written as text whatever it looks like: nothing becomes a
formula or a link.
"""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime
from pathlib import Path
from typing import Any, Final

import xlsxwriter

from billing.common.money import format_amount
from billing.finance.files.writer import Head
from billing.finance.table import Column, Row

_EXACT: Final = 2**53
"""Above it a spreadsheet's numbers are no longer exact."""
_WIDTHS: Final = {"time": 19, "amount": 16, "text": 18}


class XlsxWriter:
    def __init__(self, path: Path, head: Head) -> None:
        self._head = head
        self._book: Any = xlsxwriter.Workbook(
            str(path),
            {
                "constant_memory": True,
                "strings_to_formulas": False,
                "strings_to_urls": False,
                "strings_to_numbers": False,
                "default_date_format": "yyyy-mm-dd hh:mm:ss",
            },
        )
        self._sheet = self._book.add_worksheet(head.title[:31])
        self._bold = self._book.add_format({"bold": True})
        self._amount = self._book.add_format({"num_format": "#,##0.00"})
        self._total = self._book.add_format({"num_format": "#,##0.00", "bold": True})
        self._at = 0
        for at, column in enumerate(head.columns):
            self._sheet.set_column(at, at, _WIDTHS.get(column.kind, 12))
        for name, value in head.lines():
            self._sheet.write_string(self._at, 0, name)
            self._sheet.write_string(self._at, 1, value)
            self._at += 1
        self._at += 1
        for at, column in enumerate(head.columns):
            self._sheet.write_string(self._at, at, column.name, self._bold)
        self._at += 1

    def add(self, rows: Sequence[Row]) -> None:
        for row in rows:
            self._row(row, self._amount, None)

    def close(self, totals: Row | None) -> None:
        if totals is not None:
            self._row(totals, self._total, self._bold)
        self._book.close()

    def drop(self) -> None:
        self._book.close()

    def _row(self, row: Row, amount: Any, other: Any) -> None:
        for at, (value, column) in enumerate(zip(row, self._head.columns, strict=True)):
            if value is not None:
                self._cell(at, value, column, amount, other)
        self._at += 1

    def _cell(self, at: int, value: Any, column: Column, amount: Any, other: Any) -> None:
        if column.kind == "amount":
            if abs(value) < _EXACT:
                self._sheet.write_number(self._at, at, value / 100, amount)
            else:
                self._sheet.write_string(self._at, at, format_amount(value), other)
        elif isinstance(value, datetime):
            local = value.astimezone(self._head.zone).replace(tzinfo=None)
            self._sheet.write_datetime(self._at, at, local)
        elif isinstance(value, int):
            self._sheet.write_number(self._at, at, value, other)
        else:
            self._sheet.write_string(self._at, at, str(value), other)
