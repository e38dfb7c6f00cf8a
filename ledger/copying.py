"""Many rows at once, as the bytes of a binary COPY.

The driver looks at every element of an array, several times. For a large group that costs more
than deciding what to write; here a value that comes again (most of a journal's do) is made bytes
once, and columns become rows without a look at them.
"""

from __future__ import annotations

import struct
from collections.abc import AsyncIterator, Callable, Iterable, Sequence
from datetime import UTC, datetime
from itertools import chain, repeat
from typing import Any, Final
from uuid import UUID

import asyncpg
from msgspec import Struct

Rows = Sequence[tuple[Any, ...]]
Encode = Callable[[Any], bytes]

_HEAD: Final = b"PGCOPY\n\xff\r\n\0" + bytes(8)
_END: Final = b"\xff\xff"
_NULL: Final = b"\xff\xff\xff\xff"
_EPOCH: Final = datetime(2000, 1, 1, tzinfo=UTC)

_length = struct.Struct(">i").pack
_smallint = struct.Struct(">ih").pack
_integer = struct.Struct(">ii").pack
_bigint = struct.Struct(">iq").pack


class Table(Struct, frozen=True):
    """Where rows go: `ledger.lots`, and its columns, `id uuid`, in the order of the rows."""

    name: str
    columns: tuple[str, ...]


def table(name: str, columns: str) -> Table:
    """A table from its columns as DDL has them: `id uuid, amount bigint`."""
    return Table(name, tuple(column.strip() for column in columns.split(",")))


class Copier:
    """Copies rows of one group; it knows values again from one table to the next."""

    def __init__(self, connection: asyncpg.Connection[asyncpg.Record]) -> None:
        self._connection = connection
        self._columns = {name: kind(encode) for name, (kind, encode) in _TYPES.items()}

    async def copy(self, to: Table, rows: Rows) -> None:
        """Append `rows`. Raises what the database raises; ValueError or struct.error, before
        the database is asked, for what it has no place for."""
        if not rows:
            return
        schema, _, name = to.name.rpartition(".")
        names, types = zip(*(column.split() for column in to.columns), strict=True)
        await self._connection.copy_to_table(
            name,
            schema_name=schema,
            columns=names,
            source=_stream(self._bytes_of(rows, types)),
            format="binary",
        )

    def _bytes_of(self, rows: Rows, types: Sequence[str]) -> bytes:
        columns = zip(*rows, strict=True)
        encoded = [self._columns[kind](column) for kind, column in zip(types, columns, strict=True)]
        width = repeat(struct.pack(">h", len(types)), len(rows))
        fields = chain.from_iterable(zip(width, *encoded, strict=True))
        return b"".join((_HEAD, *fields, _END))


async def _stream(content: bytes) -> AsyncIterator[bytes]:
    yield content


class _EqualOnce(dict[Any, bytes]):
    """Makes values that are equal bytes once."""

    def __init__(self, encode: Encode) -> None:
        super().__init__({None: _NULL})
        self._encode = encode

    def __missing__(self, value: Any) -> bytes:
        found = self[value] = self._encode(value)
        return found

    def __call__(self, column: Sequence[Any]) -> Iterable[bytes]:
        return map(self.__getitem__, column)


class _InARow:
    """Makes the same object bytes once while it comes again in a row. Times that are equal need
    not be the same, when clocks are set back; UUIDs are dear to compare."""

    def __init__(self, encode: Encode) -> None:
        self._encode = encode

    def __call__(self, column: Sequence[Any]) -> Iterable[bytes]:
        encoded: list[bytes] = []
        last, piece = None, _NULL
        for value in column:
            if value is not last:
                last, piece = value, _NULL if value is None else self._encode(value)
            encoded.append(piece)
        return encoded


class _Each:
    """Makes each value bytes: no two are the same."""

    def __init__(self, encode: Encode) -> None:
        self._encode = encode

    def __call__(self, column: Sequence[Any]) -> Iterable[bytes]:
        return [_NULL if value is None else self._encode(value) for value in column]


def _bytea(value: bytes) -> bytes:
    return _length(len(value)) + value


def _timestamptz(value: datetime) -> bytes:
    since = value - _EPOCH
    return _bigint(8, (since.days * 86_400 + since.seconds) * 1_000_000 + since.microseconds)


def _uuid(value: UUID) -> bytes:
    return b"\0\0\0\x10" + value.int.to_bytes(16, "big")


_TYPES: Final[dict[str, tuple[type[_EqualOnce | _InARow | _Each], Encode]]] = {
    "uuid": (_InARow, _uuid),
    "timestamptz": (_InARow, _timestamptz),
    "text": (_EqualOnce, lambda value: _bytea(value.encode())),
    "jsonb": (_EqualOnce, lambda value: _bytea(b"\1" + value.encode())),
    "bytea": (_Each, _bytea),
    "smallint": (_EqualOnce, lambda value: _smallint(2, value)),
    "integer": (_EqualOnce, lambda value: _integer(4, value)),
    "bigint": (_EqualOnce, lambda value: _bigint(8, value)),
    "boolean": (_Each, lambda value: b"\0\0\0\1\1" if value else b"\0\0\0\1\0"),
}
