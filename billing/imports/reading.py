"""A CSV file's records, one after the other: of any size, in the memory of one record.

A line ends with LF, CR or CR LF and with nothing else, and a quoted cell may hold them. What is no
CSV is refused as a whole, with its line: nobody knows where the next record would begin.
"""

from __future__ import annotations

import csv
from collections.abc import Iterator
from typing import Final, TextIO

from billing.common.errors import ValidationFailed

MAX_LINE: Final = 65_536
"""Characters of a line; a record is bounded by the limit of a cell, which is twice that."""


class Record:
    """A record's cells, and the number of the line it begins in; the first line is 1."""

    __slots__ = ("cells", "line")

    def __init__(self, line: int, cells: list[str]) -> None:
        self.line = line
        self.cells = cells


def records(text: TextIO, delimiter: str) -> Iterator[Record]:
    """The records of a text opened with `newline=""`; empty lines are left out.

    Raises ValidationFailed, naming the line: for what is no CSV, or not of the encoding.
    """
    reader = csv.reader(_lines(text), delimiter=delimiter, strict=True)
    while True:
        line = reader.line_num + 1
        try:
            cells = next(reader)
        except StopIteration:
            return
        except csv.Error as error:
            raise ValidationFailed.at("/csv", f"line {line}: {_in_words(error)}") from None
        except UnicodeDecodeError as error:
            raise ValidationFailed.at(
                "/csv", f"line {line} or soon after: is not {error.encoding}; name its encoding"
            ) from None
        if any(cells):
            yield Record(line, cells)


def _lines(text: TextIO) -> Iterator[str]:
    while line := text.readline(MAX_LINE):
        if len(line) == MAX_LINE and not line.endswith(("\n", "\r")):
            raise csv.Error(f"is longer than {MAX_LINE} characters")
        yield line


def _in_words(error: csv.Error) -> str:
    words = str(error)
    if "unexpected end" in words or "field limit" in words:
        return "a quote begins there and does not end"
    if "expected after" in words:
        return "a quote ends there in the midst of a cell; a quote within is written twice"
    return words
