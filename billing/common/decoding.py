"""Bytes from outside become typed values, or a ValidationFailed that names every fault."""

from __future__ import annotations

from functools import cache
from typing import Any, TypeVar, cast
from urllib.parse import parse_qsl

import msgspec

from billing.common.errors import FieldError, ValidationFailed
from billing.common.faults import find_faults, token
from billing.common.members import named_twice
from billing.common.wire import read_again_hook, read_hook

T = TypeVar("T")


def decode_body(raw: bytes, kind: type[T]) -> T:
    """A JSON body as a `kind`. Raises ValidationFailed.

    A kind that leaves parts undecoded names them by `undecoded()`; they answer for themselves.
    """
    try:
        # PostgreSQL has no place for NUL; the search is cheap, the walk is for the rare hit.
        if b"\\u0000" in raw:
            _refuse_nul(msgspec.json.decode(raw))
        value = _decode(raw, kind)
        undecoded = getattr(value, "undecoded", tuple)
        if twice := named_twice(raw, undecoded()):
            raise ValidationFailed([FieldError(at, "is named twice") for at in twice])
        return value
    except msgspec.ValidationError as error:
        raise _explain(raw, kind, str(error)) from None
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError) as error:
        raise ValidationFailed.at("", _not_json(raw, error)) from None


def decode_query(raw: bytes, kind: type[T]) -> T:
    """A query string as a `kind`, whose pointers start with /query. Raises ValidationFailed."""
    try:
        pairs = parse_qsl(
            raw.decode("ascii"), keep_blank_values=True, errors="strict", max_num_fields=100
        )
    except ValueError:
        raise ValidationFailed.at("/query", "must be percent-encoded UTF-8") from None
    values = dict(pairs)
    faults = [
        FieldError(f"/query/{token(name)}", "must not have a NUL character")
        for name, value in pairs
        if "\0" in value
    ]
    if len(values) < len(pairs):
        faults.append(FieldError("/query", "names a parameter twice"))
    if faults:
        raise ValidationFailed(faults)
    try:
        return msgspec.convert(values, kind, strict=False, dec_hook=read_hook)
    except msgspec.ValidationError:
        raise ValidationFailed(find_faults(values, kind, "/query", strict=False)) from None


def _decode(raw: bytes, kind: type[T]) -> T:
    fast, exact = _decoders(cast(Any, kind))
    value: T
    try:
        value = fast.decode(raw)
    except msgspec.ValidationError:
        value = exact.decode(raw)
    return value


@cache
def _decoders(kind: Any) -> tuple[msgspec.json.Decoder[Any], msgspec.json.Decoder[Any]]:
    """One that remembers short texts, and one that reads everything."""
    return (
        msgspec.json.Decoder(kind, dec_hook=read_again_hook),
        msgspec.json.Decoder(kind, dec_hook=read_hook),
    )


def _explain(raw: bytes, kind: Any, message: str) -> ValidationFailed:
    try:
        value = msgspec.json.decode(raw)
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError) as error:
        return ValidationFailed.at("", _not_json(raw, error))
    return ValidationFailed(find_faults(value, kind))


def _not_json(raw: bytes, error: Exception) -> str:
    if not raw.strip():
        return "a JSON body is needed"
    if isinstance(error, RecursionError):
        return "is nested too deep"
    if isinstance(error, UnicodeDecodeError):
        return "must be UTF-8"
    if str(error).startswith("Number out of range"):
        return 'has a number out of range; amounts are decimal strings such as "12.50"'
    if str(error) == "Input data was truncated":
        return "is not JSON: it ends too early, or half of a surrogate pair is missing"
    return f"is not JSON: {str(error).removeprefix('JSON is malformed: ')}"


def _refuse_nul(value: object, at: str = "") -> None:
    if isinstance(value, str) and "\0" in value:
        raise ValidationFailed.at(at, "must not have a NUL character")
    if isinstance(value, dict):
        for name, item in value.items():
            _refuse_nul(name, at)
            _refuse_nul(item, f"{at}/{token(name)}")
    elif isinstance(value, list):
        for index, item in enumerate(value):
            _refuse_nul(item, f"{at}/{index}")
