"""A file is read record by record, as CSV has it: whatever a cell holds, whatever ends a line."""

from __future__ import annotations

import csv
import io
from collections.abc import Iterator
from itertools import islice

import pytest
from hypothesis import given
from hypothesis import strategies as st

from billing.common.errors import ValidationFailed
from billing.imports.reading import MAX_LINE, Record, records
from billing.imports.seen import Seen


def read(text: str, delimiter: str = ",") -> list[tuple[int, list[str]]]:
    found = records(io.StringIO(text, newline=""), delimiter)
    return [(one.line, one.cells) for one in found]


@pytest.mark.parametrize("end", ["\n", "\r\n", "\r"])
def test_only_line_ends_end_a_line(end: str) -> None:
    """Python's own idea of lines ends one at each of these."""
    strange = "a\u2028b\u2029c\x0bd\x0ce\x1cf\x85g"
    assert read(f"name,points{end}{strange},1{end}{end}x,2{end}") == [
        (1, ["name", "points"]), (2, [strange, "1"]), (4, ["x", "2"]),
    ]  # fmt: skip


def test_a_quoted_cell_may_hold_lines_and_the_next_record_knows_its_own() -> None:
    text = 'name,points\n"Anna\nPetrova\r\n""the"" cat, again",1\nx,2\n'
    assert read(text) == [
        (1, ["name", "points"]),
        (2, ['Anna\nPetrova\r\n"the" cat, again', "1"]),
        (5, ["x", "2"]),
    ]


@pytest.mark.parametrize(
    ("text", "line", "words"),
    [
        ('a,b\nx,1\n"open,2\ny,3\n', 3, "a quote begins there and does not end"),
        ('a,b\n"x"y,1\n', 2, "a quote ends there in the midst of a cell"),
        (f"a,b\n{'x' * (MAX_LINE + 1)},1\n", 2, "is longer than"),
        ('a,b\n"' + "x\n" * MAX_LINE * 2, 2, "a quote begins there and does not end"),
    ],
)
def test_what_is_no_csv_is_refused_whole_with_its_line(text: str, line: int, words: str) -> None:
    """Nobody knows where the next record would begin: nothing is swallowed in silence."""
    with pytest.raises(ValidationFailed) as refused:
        read(text)
    assert f"line {line}: {words}" in refused.value.errors[0].detail


def test_what_is_of_another_encoding_is_named() -> None:
    raw = io.BytesIO("phone,name\n1,Анна\n".encode("cp1251"))
    with pytest.raises(ValidationFailed, match="is not utf-8; name its encoding"):
        list(records(io.TextIOWrapper(raw, "utf-8", newline=""), ","))


class Endless(io.TextIOBase):
    """A file of any size: what was read of it is all there is in memory."""

    def __init__(self) -> None:
        self.read_so_far = 0

    def readline(self, size: int | None = -1, /) -> str:  # type: ignore[override]
        self.read_so_far += 1
        return f"{self.read_so_far},1\n"


def test_no_more_is_read_than_is_asked_for() -> None:
    file = Endless()
    found: Iterator[Record] = records(file, ",")  # type: ignore[arg-type]
    assert [one.line for one in islice(found, 3)] == [1, 2, 3]
    assert file.read_so_far == 3


_CELL = st.text(st.characters(codec="utf-8", exclude_characters="\0"), max_size=8)


@given(
    rows=st.lists(st.lists(_CELL, min_size=2, max_size=3), max_size=6),
    delimiter=st.sampled_from(",;\t"),
    end=st.sampled_from(["\n", "\r\n"]),
)
def test_what_a_spreadsheet_writes_is_read_as_it_was(
    rows: list[list[str]], delimiter: str, end: str
) -> None:
    file = io.StringIO(newline="")
    csv.writer(file, delimiter=delimiter, lineterminator=end, quoting=csv.QUOTE_ALL).writerows(rows)
    found = read(file.getvalue(), delimiter)
    assert [cells for _, cells in found] == [row for row in rows if any(row)]
    assert [line for line, _ in found] == sorted({line for line, _ in found})


def test_a_name_is_met_once() -> None:
    seen = Seen()
    assert [seen.add(one) for one in ("a", "b", "a", "A", "b")] == [True, True, False, True, False]
    assert seen.count == 3
