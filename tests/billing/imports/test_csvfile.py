"""A line of a file is a lot, or is rejected with a reason a person understands."""

from __future__ import annotations

from datetime import UTC, datetime
from zoneinfo import ZoneInfo

import pytest

from billing.common.errors import ValidationFailed
from billing.imports.csvfile import COLUMNS, Reader, check_columns
from billing.imports.model import Lot, Reject

NOW = datetime(2026, 11, 21, 12, tzinfo=UTC)
HEADER = ("phone", "points", "bucket", "earned_at", "available_from", "expires_at", "reference")


def reader() -> Reader:
    return Reader("old", HEADER, ZoneInfo("Europe/Moscow"), NOW)


def read(*cells: str) -> Lot | Reject:
    return reader().read(2, [*cells, *([""] * (len(HEADER) - len(cells)))])


def test_dates_are_days_of_the_chain_and_the_last_day_counts() -> None:
    lot = read("+79160000001", "12.5", "promo", "2026-01-05", "2026-12-01", "2026-12-31", "r-1")
    assert isinstance(lot, Lot)
    assert (lot.points, lot.bucket, lot.source) == (1250, "promo", "import/r/r-1")
    assert lot.occurred_at == datetime(2026, 1, 4, 21, tzinfo=UTC)
    assert lot.available_from == datetime(2026, 11, 30, 21, tzinfo=UTC)
    assert lot.expires_at == datetime(2026, 12, 31, 21, tzinfo=UTC)


def test_what_is_left_out_means_base_now_and_for_ever() -> None:
    lot = read("+79160000001", "1")
    assert isinstance(lot, Lot)
    assert (lot.bucket, lot.occurred_at, lot.available_from, lot.expires_at) == (
        "base", None, None, None,
    )  # fmt: skip
    assert lot.source == "import/l/old/2"


WRONG = {
    ("", "1"): "names no customer",
    ("+79160000001", ""): "points must be a number",
    ("+79160000001", "-5"): "points must be a number",
    ("+79160000001", "1e3"): "points must be a number",
    ("+79160000001", "1.234"): "points must be a number",
    ("+79160000001", "0"): "has no points",
    ("+79160000001", "1", "gold"): "bucket must be base or promo",
    ("+79160000001", "1", "", "2026-11-22"): "earned_at is in the future",
    ("+79160000001", "1", "", "21.11.2026"): "earned_at must be a date",
    ("+79160000001", "1", "", "2026-02-30"): "earned_at must be a date",
    ("+79160000001", "1", "", "", "", "2026-11-20"): "expires_at is over",
    ("+79160000001", "1", "", "", "", "9999-12-31"): "of the years 1970 to 2200",
    ("+79160000001", "1", "", "", "2027-01-02", "2027-01-01"): "expires_at is not after",
    ("+79160000001", "1", "", "", "", "", "a b"): "reference must have",
    ("x" * 201, "1"): "has a cell of more than",
}


@pytest.mark.parametrize("cells", WRONG)
def test_a_wrong_line_says_why(cells: tuple[str, ...]) -> None:
    found = read(*cells)
    assert isinstance(found, Reject)
    assert WRONG[cells] in found.reason


def test_a_line_of_another_width_is_rejected() -> None:
    found = reader().read(9, ["+79160000001", "1"])
    assert found == Reject(9, "has 2 cells instead of 7")


def test_a_reference_stands_in_a_file_once() -> None:
    one = reader()
    cells = ["+79160000001", "1", "", "", "", "", "r"]
    assert isinstance(one.read(2, cells), Lot)
    second = one.read(3, cells)
    assert isinstance(second, Reject)
    assert "twice" in second.reason


@pytest.mark.parametrize(
    "header",
    [[], ["points"], ["phone"], ["phone", "points", "colour"], ["phone", "phone", "points"]],
)
def test_a_header_that_cannot_be_understood_is_refused(header: list[str]) -> None:
    with pytest.raises(ValidationFailed):
        check_columns(header)


def test_a_header_may_have_a_mark_capitals_and_blanks() -> None:
    assert check_columns(["\ufeffPhone", " points "]) == ("phone", "points")
    assert set(check_columns(COLUMNS)) == set(COLUMNS)
