"""Members of a JSON object that are named twice.

Readers disagree on which of them counts: what a till means by `"points": "1", "points": "100"`
would depend on who reads it. So nobody reads it.
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Iterator
from itertools import islice
from typing import Any

import msgspec

from billing.common.faults import MAX_FAULTS, token


class _Object(list[tuple[str, Any]]):
    """The members of an object as they came."""


def named_twice(raw: bytes, apart: Iterable[bytes] = ()) -> list[str]:
    """The pointers of members that come again in valid JSON, at most `MAX_FAULTS`.

    `apart` are parts of `raw`, in their order, that are not looked into: they are read later.
    """
    text = _without(raw, apart)
    try:
        if _is_plain(text):
            return []
    except msgspec.DecodeError:
        text = raw  # A part was found in the wrong place, or has a number beyond all bounds.
    value = json.loads(text, object_pairs_hook=_Object, parse_int=str, parse_float=str)
    return list(islice(_again(value, ""), MAX_FAULTS))


def _is_plain(text: bytes) -> bool:
    """Whether what was read has as many quotation marks as the text: a name that comes again has
    two more. Where marks may be escaped, only the same text tells."""
    read = msgspec.json.encode(msgspec.json.decode(text))
    if b"\\" not in text:
        return read.count(b'"') == text.count(b'"')
    return read == msgspec.json.format(text, indent=-1)


def _without(raw: bytes, apart: Iterable[bytes]) -> bytes:
    pieces: list[bytes] = []
    done = 0
    for part in apart:
        at = raw.find(part, done)
        if at < 0:
            return raw
        pieces += (raw[done:at], b"0")
        done = at + len(part)
    return b"".join((*pieces, raw[done:])) if pieces else raw


def _again(value: object, at: str) -> Iterator[str]:
    if isinstance(value, _Object):
        seen: set[str] = set()
        for name, item in value:
            if name in seen:
                yield f"{at}/{token(name)}"
            seen.add(name)
            yield from _again(item, f"{at}/{token(name)}")
    elif isinstance(value, list):
        for index, item in enumerate(value):
            yield from _again(item, f"{at}/{index}")
