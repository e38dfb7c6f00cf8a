"""The scalar types of the wire, how they are read and how they are written.

A wire type is a class with `from_wire(value)`, which raises ValueError with a message for a
till's developer, and `SCHEMA`, its JSON Schema. Inside they are plain ints, strs and datetimes.
"""

from __future__ import annotations

import base64
import binascii
import re
from datetime import datetime
from functools import lru_cache
from types import GenericAlias
from typing import Any, ClassVar, Protocol, Self, runtime_checkable
from unicodedata import normalize

import msgspec

from billing.common.errors import ValidationFailed
from billing.common.money import format_amount, parse_amount

Schema = dict[str, Any]
MAX_PAGE = 500
MAX_CODE = 64

_CODE = re.compile(
    r"[^\s/\x00-\x1f\x7f-\x9f\xad\u034f\u061c\u115f\u1160\u17b4\u17b5\u180b-\u180f\u200b-\u200f"
    r"\u2028-\u202e\u2060-\u206f\u2800\u3164\ufe00-\ufe0f\ufeff\uffa0\ufff0-\uffff]+"
)
"""Any letters, but nothing that cannot be seen, or that a path or a printer would break on: two
receipts whose numbers look alike would else be two sales."""
_HIDDEN = re.compile("[\U0001bca0-\U0001bca3\U0001d173-\U0001d17a\U000e0000-\U000e0fff]")
"""More of the kind, beyond what a JSON Schema's pattern can name in every language."""


@runtime_checkable
class WireType(Protocol):
    SCHEMA: ClassVar[Schema]

    @classmethod
    def from_wire(cls, value: object) -> Self: ...


class Amount(int):
    """Points or money in 1/100, not negative; `"12.50"` on the wire."""

    SCHEMA: ClassVar[Schema] = {
        "type": "string",
        "pattern": r"^[0-9]{1,13}(\.[0-9]{1,2})?$",
        "examples": ["12.50"],
    }

    @classmethod
    def from_wire(cls, value: object) -> Self:
        return cls(parse_amount(_decimal_string(value)))


class SignedAmount(int):
    """Points or money in 1/100 that may be negative; `"+10.00"` or `"-10.00"` on the wire."""

    SCHEMA: ClassVar[Schema] = {
        "type": "string",
        "pattern": r"^[+-]?[0-9]{1,13}(\.[0-9]{1,2})?$",
        "examples": ["-10.00"],
    }

    @classmethod
    def from_wire(cls, value: object) -> Self:
        return cls(parse_amount(_decimal_string(value), signed=True))


class Instant(datetime):
    """A moment with its offset, of the years 1970 to 2200."""

    SCHEMA: ClassVar[Schema] = {
        "type": "string",
        "format": "date-time",
        "examples": ["2026-11-21T14:03:00+03:00"],
    }

    @classmethod
    def from_wire(cls, value: object) -> Self:
        if not isinstance(value, str):
            raise ValueError('must be a time string such as "2026-11-21T14:03:00+03:00"')
        try:
            moment = msgspec.convert(value, datetime)
        except msgspec.ValidationError:
            raise ValueError(
                'must be an RFC 3339 time with offset, such as "2026-11-21T14:03:00+03:00"'
            ) from None
        if moment.tzinfo is None:
            raise ValueError('needs an offset from UTC at its end, such as "+03:00" or "Z"')
        if not 1970 <= moment.year <= 2200:
            raise ValueError("must be between the years 1970 and 2200")
        return cls(
            moment.year, moment.month, moment.day,
            moment.hour, moment.minute, moment.second, moment.microsecond, moment.tzinfo,
        )  # fmt: skip


class Code(str):
    """A name the chain gave: a channel, store, group, product, receipt number.

    However a till composes its letters (Unicode NFC or NFD), it is the same name.
    """

    __slots__ = ()
    SCHEMA: ClassVar[Schema] = {
        "type": "string",
        "minLength": 1,
        "maxLength": MAX_CODE,
        "pattern": f"^{_CODE.pattern}$",
        "examples": ["moscow-1"],
    }

    @classmethod
    def from_wire(cls, value: object) -> Self:
        if not isinstance(value, str):
            raise ValueError('must be a string such as "moscow-1"')
        value = composed(value) if len(value) <= MAX_CODE * 4 else value
        if not 1 <= len(value) <= MAX_CODE:
            raise ValueError(f"must have 1 to {MAX_CODE} characters")
        if not _CODE.fullmatch(value) or _HIDDEN.search(value):
            raise ValueError("must have visible characters only: no spaces, slashes or controls")
        return cls(value)


def composed(text: str) -> str:
    """The one way to write what looks the same: Unicode's normal form NFC."""
    return text if text.isascii() else normalize("NFC", text)


def _decimal_string(value: object) -> str:
    if isinstance(value, str):
        return value
    if isinstance(value, int | float) and not isinstance(value, bool):
        raise ValueError('must be a decimal string such as "12.50", not a number')
    raise ValueError('must be a decimal string such as "12.50"')


def read_hook(kind: type, value: Any) -> Any:
    """msgspec's `dec_hook`: wire types read themselves."""
    # Not isinstance: a Protocol's check costs more than reading the value.
    from_wire = getattr(kind, "from_wire", None)
    if from_wire is None:
        raise NotImplementedError(f"{kind} is not a wire type")
    return from_wire(value)


@lru_cache(maxsize=65_536)
def read_again_hook(kind: type, value: Any) -> Any:
    """`read_hook` for what comes again and again: skus, groups, prices, times of a receipt.

    Raises ValueError for what is too long to be kept, too; `read_hook` then tells.
    """
    if type(value) is not str or len(value) > MAX_CODE:
        raise ValueError("is not kept")
    return read_hook(kind, value)


def write_hook(value: Any) -> Any:
    """msgspec's `enc_hook`: amounts are written as decimal strings."""
    if isinstance(value, Amount | SignedAmount):
        return format_amount(value)
    if isinstance(value, Code):
        return str(value)
    if isinstance(value, Instant):
        return value.isoformat()
    raise NotImplementedError(f"{type(value)} cannot be written to the wire")


_encoder = msgspec.json.Encoder(enc_hook=write_hook)


def encode(value: object) -> bytes:
    """`value` as JSON."""
    return _encoder.encode(value)


class PageQuery(msgspec.Struct, forbid_unknown_fields=True, kw_only=True):
    """The parameters every list takes."""

    limit: int = 100
    cursor: str | None = None

    def __post_init__(self) -> None:
        if not 1 <= self.limit <= MAX_PAGE:
            raise ValidationFailed.at("/query/limit", f"must be from 1 to {MAX_PAGE}")

    def after(self, *kinds: type) -> tuple[Any, ...] | None:
        """The sort key to go on after, as values of `kinds`; None at the start."""
        return None if self.cursor is None else decode_cursor(self.cursor, *kinds)


def encode_cursor(*key: Any) -> str:
    """An opaque name of a place in a list: the sort key of its last item."""
    return base64.urlsafe_b64encode(msgspec.json.encode(key)).decode().rstrip("=")


def decode_cursor(cursor: str, *kinds: type) -> tuple[Any, ...]:
    """The sort key in `cursor`. Raises ValidationFailed for anything we did not make."""
    try:
        raw = base64.b64decode(cursor + "=" * (-len(cursor) % 4), altchars=b"-_", validate=True)
        key: tuple[Any, ...] = msgspec.json.decode(raw, type=GenericAlias(tuple, kinds))
        if any(isinstance(part, str) and "\0" in part for part in key):
            raise ValueError("NUL")
    except (ValueError, binascii.Error, RecursionError):
        raise ValidationFailed.at(
            "/query/cursor", "is not a cursor of this list; start again without it"
        ) from None
    return key


def page(items: list[Any], limit: int, *key_of_last: Any) -> dict[str, Any]:
    """The envelope of a list. Pass the last item's sort key when there may be more."""
    more = len(items) >= limit and key_of_last
    return {"items": items, "next_cursor": encode_cursor(*key_of_last) if more else None}
