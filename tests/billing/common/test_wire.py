"""Scalars of the wire (spec: Conventions)."""

from __future__ import annotations

from typing import Any

import pytest

from billing.common.errors import ValidationFailed
from billing.common.wire import (
    Amount,
    Code,
    Instant,
    SignedAmount,
    decode_cursor,
    encode,
    encode_cursor,
)


@pytest.mark.parametrize(
    ("text", "value"), [("12.5", 1250), ("0", 0), ("999999999999.99", 10**14 - 1)]
)
def test_amounts_are_decimal_strings(text: str, value: int) -> None:
    assert Amount.from_wire(text) == value


@pytest.mark.parametrize(
    ("given", "words"),
    [
        (12.5, "not a number"),
        (12, "not a number"),
        (True, "must be a decimal string"),
        (None, "must be a decimal string"),
        ("NaN", "at most two decimals"),
        ("1e999", "at most two decimals"),
        ("Infinity", "at most two decimals"),
        ("-1", "without a sign"),
        ("1.005", "at most two decimals"),
        ("1,50", "at most two decimals"),
        (" 1", "at most two decimals"),
        ("١", "at most two decimals"),
        ("99999999999999", "must not be more than"),
    ],
)
def test_other_amounts_are_refused_with_a_reason(given: Any, words: str) -> None:
    with pytest.raises(ValueError, match=words):
        Amount.from_wire(given)


def test_amounts_are_written_as_they_are_read() -> None:
    assert encode({"a": Amount(1250), "b": SignedAmount.from_wire("-0.05")}) == (
        b'{"a":"12.50","b":"-0.05"}'
    )


@pytest.mark.parametrize(
    ("given", "words"),
    [
        ("2026-11-21T14:03:00", "needs an offset"),
        ("2026-11-21", "RFC 3339"),
        ("2026-02-30T00:00:00Z", "RFC 3339"),
        ("0001-01-01T00:00:00+14:00", "1970 and 2200"),
        ("9999-12-31T23:59:59-12:00", "1970 and 2200"),
        (1700000000, "must be a time string"),
    ],
)
def test_naive_and_impossible_times_are_refused(given: Any, words: str) -> None:
    with pytest.raises(ValueError, match=words):
        Instant.from_wire(given)


def test_a_time_keeps_its_offset() -> None:
    moment = Instant.from_wire("2026-11-21T14:03:00+03:00")
    assert moment.isoformat() == "2026-11-21T14:03:00+03:00"


@pytest.mark.parametrize("code", ["moscow-1", "ПЯТ-01", "0001/7".replace("/", ":"), "a" * 64])
def test_codes_are_visible(code: str) -> None:
    assert Code.from_wire(code) == code


@pytest.mark.parametrize(
    "code",
    [
        *("", "a" * 65, "a b", "a/b", "a\x00", "a\u200b", "a\u2028", "\u202ea", "a\xad"),
        *("a\u034f", "a\u061c", "\u115fa", "a\u180e", "a\u2800", "\u3164", "a\ufe0f", "a\uffa0"),
        *("a\U000e0031", "a\U0001d173", "\xa0a", "a\u3000", "e\u0301" * 65),
    ],
)
def test_other_codes_are_refused(code: str) -> None:
    with pytest.raises(ValueError, match="must have"):
        Code.from_wire(code)


def test_a_code_is_the_same_however_its_letters_are_composed() -> None:
    assert Code.from_wire("чеи\u0306") == Code.from_wire("чей") == "чей"
    assert Code.from_wire("e\u0301" * 64) == "é" * 64


def test_a_cursor_is_a_place_in_its_own_list_only() -> None:
    cursor = encode_cursor("moscow-1", 7)
    assert decode_cursor(cursor, str, int) == ("moscow-1", 7)
    for bad in ("", "???", "AAAA", cursor[:-3], encode_cursor("x"), encode_cursor("a\0", 7)):
        with pytest.raises(ValidationFailed, match="is not a cursor"):
            decode_cursor(bad, str, int)
