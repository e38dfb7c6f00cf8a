"""Say everything that is wrong with a body, in words a till's developer understands.

msgspec stops at the first fault and speaks of Python types. This walks the same types over the
decoded JSON, only after msgspec refused it, and names each fault with an RFC 6901 pointer.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from difflib import get_close_matches
from itertools import islice
from types import NoneType, UnionType
from typing import Annotated, Any, Literal, Union, get_args, get_origin

import msgspec

from billing.common.errors import FieldError
from billing.common.wire import read_hook

MAX_FAULTS = 20
MAX_NAME = 64
"""Of a longer member name only its beginning is told."""

_NAMES = {
    "str": "a string", "int": "a whole number", "float": "a number", "bool": "true or false",
    "array": "a list", "object": "an object", "null": "null", "uuid": "an id (UUID)",
    "date": 'a date such as "1990-12-31"', "datetime": "a time",
}  # fmt: skip
_EXPECTED = re.compile(r"Expected `([^`]+)`, got `([^`]+)`")
_PATTERN = re.compile(r"Expected `str` matching regex '(.+)'")
_BOUND = re.compile(r"Expected `(\w+)`( of length)? (<=|>=|<|>|==) (\S+)")
_BOUNDS = {"<=": "at most", ">=": "at least", "<": "less than", ">": "more than", "==": "exactly"}
_EXAMPLES = {
    "Invalid UUID": 'must be an id such as "0196f3c8-0000-7000-8000-000000000000"',
    "Invalid RFC3339 encoded date": 'must be a date such as "1990-12-31"',
    "Expected `int`, got `float`": "must be a whole number, without a point",
}


def find_faults(
    value: object, kind: Any, root: str = "", *, strict: bool = True
) -> list[FieldError]:
    """The faults of decoded JSON `value` as a `kind`, at most `MAX_FAULTS`; never none.

    `strict=False` reads numbers from strings, as query parameters need.
    """
    walk = _Walk(strict)
    return list(islice(walk(value, kind, root), MAX_FAULTS)) or [
        FieldError(root, walk.reason(value, kind) or "is not valid")
    ]


def token(name: str) -> str:
    """One reference token of a JSON pointer (RFC 6901 §3)."""
    return name.replace("~", "~0").replace("/", "~1")


class _Walk:
    def __init__(self, strict: bool) -> None:
        self._strict = strict

    def __call__(self, value: object, kind: Any, at: str) -> Iterator[FieldError]:
        faults = self._inside(value, kind, at)
        first = next(faults, None)
        if first is not None:
            yield first
            yield from faults
        elif (reason := self.reason(value, kind)) is not None:
            yield FieldError(at, reason)

    def reason(self, value: object, kind: Any) -> str | None:
        """Why msgspec refuses `value` as a whole; None when it does not."""
        try:
            msgspec.convert(value, kind, strict=self._strict, dec_hook=read_hook)
        except msgspec.ValidationError as error:
            message = str(error).partition(" - at `$")[0]
            # What is left undecoded, such as an operation of a batch, has no faults yet.
            return None if message.startswith("Expected `raw`") else _in_words(message, kind)
        return None

    def _inside(self, value: object, kind: Any, at: str) -> Iterator[FieldError]:
        """The faults of the members of `value`, when it has members."""
        kind, limit = _bare(kind, value)
        origin = get_origin(kind)
        if isinstance(value, dict) and _is_struct(kind):
            yield from self._members(value, kind, at)
        elif isinstance(value, dict) and origin is dict:
            for name, item in value.items() if len(value) <= limit else ():
                yield from self(item, get_args(kind)[1], f"{at}/{token(_short(name))}")
        elif isinstance(value, list) and origin in (list, tuple) and len(value) <= limit:
            for index, item in enumerate(value):
                yield from self(item, get_args(kind)[0], f"{at}/{index}")

    def _members(self, value: dict[str, Any], kind: Any, at: str) -> Iterator[FieldError]:
        fields = {field.encode_name: field for field in msgspec.structs.fields(kind)}
        tag = kind.__struct_config__.tag_field
        if kind.__struct_config__.forbid_unknown_fields:
            for name in value:
                if name not in fields and name != tag:
                    yield FieldError(f"{at}/{token(_short(name))}", _unknown(name, list(fields)))
        for name, field in fields.items():
            if name in value:
                yield from self(value[name], field.type, f"{at}/{token(name)}")
            elif field.required:
                yield FieldError(f"{at}/{token(name)}", "is missing")


def _bare(kind: Any, value: object) -> tuple[Any, float]:
    """The type inside Annotated, Optional and tagged unions; and its limit of items."""
    limit = float("inf")
    while True:
        if get_origin(kind) is Annotated:
            kind, *notes = get_args(kind)
            for note in notes:
                if isinstance(note, msgspec.Meta) and note.max_length is not None:
                    limit = note.max_length
        elif get_origin(kind) in (Union, UnionType):
            others = [one for one in get_args(kind) if one not in (NoneType, msgspec.UnsetType)]
            chosen = others[0] if len(others) == 1 else _tagged(others, value)
            if chosen is None:
                return kind, limit
            kind = chosen
        else:
            return kind, limit


def _tagged(options: list[Any], value: object) -> Any:
    if not isinstance(value, dict):
        return None
    for option in options:
        config = option.__struct_config__ if _is_struct(option) else None
        if config and config.tag_field and value.get(config.tag_field) == config.tag:
            return option
    return None


def _is_struct(kind: Any) -> bool:
    return isinstance(kind, type) and issubclass(kind, msgspec.Struct)


def _short(name: str) -> str:
    return name if len(name) <= MAX_NAME else f"{name[:MAX_NAME]}…"


def _unknown(name: str, known: list[str]) -> str:
    close = get_close_matches(name, known, n=1, cutoff=0.6) if len(name) <= MAX_NAME else []
    hint = f"did you mean {close[0]!r}?" if close else f"known are: {', '.join(known)}"
    return f"is not a known field; {hint}"


def _in_words(message: str, kind: Any) -> str:
    if message in _EXAMPLES:
        return _EXAMPLES[message]
    if message.startswith("Invalid enum value"):
        bare, _ = _bare(kind, None)
        if get_origin(bare) is Literal:
            return f"must be one of {', '.join(map(repr, get_args(bare)))}"
    if found := _EXPECTED.fullmatch(message):
        wanted, got = (
            " or ".join(_NAMES.get(name, name) for name in part.split(" | "))
            for part in found.groups()
        )
        return f"must be {wanted}, not {got}"
    if found := _PATTERN.fullmatch(message):
        return f"must match the pattern {found[1]}"
    if found := _BOUND.fullmatch(message):
        what, length, sign, bound = found.groups()
        if not length:
            return f"must be {_BOUNDS[sign]} {bound}"
        unit = "character" if what == "str" else "item"
        return f"must have {_BOUNDS[sign]} {bound} {unit}{'' if bound == '1' else 's'}"
    return message
