"""What a till's developer is told about a wrong body."""

from __future__ import annotations

from typing import Annotated, Literal
from uuid import UUID

import msgspec
import pytest

from billing.common.decoding import decode_body, decode_query
from billing.common.errors import ValidationFailed
from billing.common.wire import Amount, Code, Instant


class Line(msgspec.Struct, forbid_unknown_fields=True):
    line: Annotated[int, msgspec.Meta(ge=1)]
    amount: Amount
    promo: bool = False


class Body(msgspec.Struct, forbid_unknown_fields=True):
    number: Code
    at: Instant
    lines: Annotated[list[Line], msgspec.Meta(min_length=1, max_length=3)]
    mode: Literal["hold", "capture"] = "hold"
    customer: UUID | None = None
    extra: dict[str, Amount] = {}


class Query(msgspec.Struct, forbid_unknown_fields=True):
    limit: int = 100
    phone: str | None = None


_GOOD = {
    "number": "1",
    "at": "2026-11-21T14:03:00+03:00",
    "lines": [{"line": 1, "amount": "1.00"}],
}


def _faults(**changed: object) -> dict[str, str]:
    return _faults_of(msgspec.json.encode(_GOOD | changed))


def _faults_of(raw: bytes) -> dict[str, str]:
    with pytest.raises(ValidationFailed) as refused:
        decode_body(raw, Body)
    return {error.pointer: error.detail for error in refused.value.errors}


def test_a_good_body_is_read() -> None:
    body = decode_body(msgspec.json.encode(_GOOD | {"extra": {"a": "2"}}), Body)
    assert body.lines[0].amount == 100
    assert body.extra == {"a": 200}


def test_every_fault_is_named_where_it_is() -> None:
    lines = [{"line": 0, "amount": 1.5}, {"line": 2}, {"line": "3", "amount": "1", "promo": "no"}]
    assert _faults(number="a b", at="2026-11-21T14:03:00", lines=lines, mode="x", customer="7") == {
        "/number": "must have visible characters only: no spaces, slashes or controls",
        "/at": 'needs an offset from UTC at its end, such as "+03:00" or "Z"',
        "/lines/0/line": "must be at least 1",
        "/lines/0/amount": 'must be a decimal string such as "12.50", not a number',
        "/lines/1/amount": "is missing",
        "/lines/2/line": "must be a whole number, not a string",
        "/lines/2/promo": "must be true or false, not a string",
        "/mode": "must be one of 'hold', 'capture'",
        "/customer": 'must be an id such as "0196f3c8-0000-7000-8000-000000000000"',
    }


def test_unknown_fields_are_refused_with_a_hint() -> None:
    faults = _faults(nmber="1", **{"a/b~c": 1})
    assert faults["/nmber"] == "is not a known field; did you mean 'number'?"
    assert faults["/a~1b~0c"].startswith("is not a known field; known are: number, at, lines")


def test_lists_are_bounded_and_faults_few() -> None:
    assert _faults(lines=[]) == {"/lines": "must have at least 1 item"}
    assert _faults(lines=[{}] * 100_000) == {"/lines": "must have at most 3 items"}
    assert len(_faults(**{f"x{n}": n for n in range(50)})) == 20
    assert _faults(extra={"a": "1", "b": 2}) == {
        "/extra/b": 'must be a decimal string such as "12.50", not a number'
    }


@pytest.mark.parametrize(
    ("raw", "words"),
    [
        (b"", "a JSON body is needed"),
        (b"  ", "a JSON body is needed"),
        (b"{", "is not JSON"),
        (b'{"number": NaN}', "is not JSON"),
        (b"\xef\xbb\xbf{}", "is not JSON"),
        (b'{"number": "\xff"}', "must be UTF-8"),
        (b'{"number": "\xed\xa0\x80"}', "must be UTF-8"),
        (b'{"number": "\\ud800"}', "is not JSON"),
        (b'{"number": "a\x00"}', "is not JSON"),
        (b"[" * 100_000, "is nested too deep"),
        (b'{"number": ' + b"[" * 100_000, "is nested too deep"),
        (b"[]", "must be an object, not a list"),
        (b"null", "must be an object, not null"),
        (b"1e999999999", "has a number out of range"),
        (b'{"lines": [{"amount": 1e999}]}', "has a number out of range"),
    ],
)
def test_what_is_not_json_is_refused(raw: bytes, words: str) -> None:
    (detail,) = _faults_of(raw).values()
    assert words in detail


def test_nul_is_refused_where_it_stands() -> None:
    assert _faults_of(b'{"number": "a", "extra": {"\\u0000": "1"}}') == {
        "/extra": "must not have a NUL character"
    }
    assert _faults_of(b'{"lines": [{"line": "\\u0000"}]}') == {
        "/lines/0/line": "must not have a NUL character"
    }
    escaped = decode_body(msgspec.json.encode(_GOOD | {"number": "a\\u0000"}), Body)
    assert escaped.number == "a\\u0000"


@pytest.mark.parametrize(
    ("members", "pointer"),
    [
        (b'"number": "2"', "/number"),
        (b'"number": "1"', "/number"),
        (b'"n\\u0075mber": "2"', "/number"),
        (b'"mode": "hold", "mode": "capture"', "/mode"),
        (b'"extra": {"a/b": "1", "c": "2", "a/b": "3"}', "/extra/a~1b"),
        (b'"customer": null, "customer": null', "/customer"),
    ],
)
def test_a_member_named_twice_is_refused_where_it_stands(members: bytes, pointer: str) -> None:
    raw = msgspec.json.encode(_GOOD)[:-1] + b", " + members + b"}"
    assert _faults_of(raw) == {pointer: "is named twice"}


def test_a_member_named_twice_is_found_deep_inside() -> None:
    lines = b'[{"line": 1, "amount": "1.00"}, {"line": 2, "amount": "1.00", "amount": "100.00"}]'
    raw = msgspec.json.encode(_GOOD).replace(b'[{"line":1,"amount":"1.00"}]', lines)
    assert _faults_of(raw) == {"/lines/1/amount": "is named twice"}


def test_what_is_escaped_or_spaced_is_not_named_twice() -> None:
    raw = b'\n {"number" :"\\u0031", "at": "2026-11-21T14:03:00\\u002b03:00",\t"extra": {},'
    raw += b' "lines":[{"line":1,"amount":"1.00"} ,{"line" : 2,"amount":"1.00"}]}'
    assert decode_body(raw, Body).number == "1"


class Parcel(msgspec.Struct):
    name: str
    parts: list[msgspec.Raw]

    def undecoded(self) -> list[bytes]:
        return [bytes(part) for part in self.parts]


@pytest.mark.parametrize(
    "parts", [b'{"a":1,"a":2}', b'{"a":1,"a":2},{"b":1, "b":1}', b'"n","n"', b"1,1,1e999", b'"x"']
)
def test_parts_left_undecoded_are_not_looked_into(parts: bytes) -> None:
    for name in (b"n", b"x", b"1"):
        raw = b'{"name": "' + name + b'", "parts": [' + parts + b"]}"
        assert decode_body(raw, Parcel).name == name.decode()
        with pytest.raises(ValidationFailed, match="/name: is named twice"):
            decode_body(b'{"name": "y", ' + raw[1:], Parcel)


@pytest.mark.parametrize(
    ("raw", "pointer", "words"),
    [
        (b"limit=ten", "/query/limit", "must be a whole number"),
        (b"limt=10", "/query/limt", "did you mean 'limit'"),
        (b"limit=1&limit=2", "/query", "twice"),
        (b"phone=%00", "/query/phone", "NUL"),
        (b"phone=%ff", "/query", "percent-encoded UTF-8"),
        (b"&".join([b"a=1"] * 101), "/query", "percent-encoded"),
    ],
)
def test_query_parameters_too(raw: bytes, pointer: str, words: str) -> None:
    with pytest.raises(ValidationFailed) as refused:
        decode_query(raw, Query)
    (error,) = refused.value.errors
    assert error.pointer == pointer
    assert words in error.detail


def test_a_good_query_is_read() -> None:
    assert decode_query(b"limit=5&phone=%2B7", Query) == Query(5, "+7")
    assert decode_query(b"", Query) == Query()


def test_a_time_too_long_to_be_remembered_is_read_all_the_same() -> None:
    good = {**_GOOD, "at": f"2026-11-21T14:03:00.{'0' * 80}+03:00"}
    short, long = (decode_body(msgspec.json.encode(body), Body) for body in (_GOOD, good))
    assert short == long
    with pytest.raises(ValidationFailed) as fault:
        decode_body(msgspec.json.encode({**_GOOD, "number": "x" * 80}), Body)
    assert [(one.pointer, one.detail) for one in fault.value.errors] == [
        ("/number", "must have 1 to 64 characters")
    ]
    with pytest.raises(ValidationFailed) as fault:
        decode_body(msgspec.json.encode({**_GOOD, "number": ["1"]}), Body)
    assert [one.pointer for one in fault.value.errors] == ["/number"]
