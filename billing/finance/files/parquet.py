"""Reports as Parquet: amounts as integers of 1/100 (`…_minor`) beside decimals.

The filter stands in the file's metadata. The library is large and loaded when it is first needed.
"""

from __future__ import annotations

from collections.abc import Sequence
from decimal import Decimal
from pathlib import Path
from typing import Any, Final

from billing.finance.files.writer import Head
from billing.finance.table import Column, Row

DIGITS: Final = 20


class ParquetWriter:
    def __init__(self, path: Path, head: Head) -> None:
        import pyarrow
        import pyarrow.parquet

        self._arrow = pyarrow
        self._head = head
        fields = [field for column in head.columns for field in self._fields(column)]
        metadata = {f"bonus.{name}": value for name, value in head.lines()}
        self._schema = pyarrow.schema(fields, metadata=metadata)
        self._writer = pyarrow.parquet.ParquetWriter(
            str(path), self._schema, compression="zstd", compression_level=3
        )

    def add(self, rows: Sequence[Row]) -> None:
        columns: list[list[Any]] = [[] for _ in self._schema]
        for row in rows:
            at = 0
            for value, column in zip(row, self._head.columns, strict=True):
                if column.kind == "amount":
                    columns[at].append(value)
                    at += 1
                    value = None if value is None else Decimal(value).scaleb(-2)
                elif column.kind in ("text", "ratio") and value is not None:
                    value = str(value)
                columns[at].append(value)
                at += 1
        arrays = [
            self._arrow.array(values, type=field.type)
            for values, field in zip(columns, self._schema, strict=True)
        ]
        self._writer.write_batch(self._arrow.record_batch(arrays, schema=self._schema))

    def close(self, totals: Row | None) -> None:
        """Totals are left out: whoever adds a column up would count them twice."""
        self._writer.close()

    def drop(self) -> None:
        self._writer.close()

    def _fields(self, column: Column) -> list[Any]:
        arrow = self._arrow
        if column.kind == "amount":
            return [
                arrow.field(f"{column.name}_minor", arrow.int64()),
                arrow.field(column.name, arrow.decimal128(DIGITS, 2)),
            ]
        kinds = {
            "time": arrow.timestamp("us", tz="UTC"),
            "count": arrow.int64(),
        }
        return [arrow.field(column.name, kinds.get(column.kind, arrow.string()))]
