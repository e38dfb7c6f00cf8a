"""Numbers of many rows in columns, from the bytes of the rows.

A row is as `ledger.raw` reads it: of each column its length, then its value, in network order.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, Final, Literal

import numpy as np
from numpy.typing import NDArray

Integers = NDArray[np.int64]
Words = NDArray[np.uint64]
Mask = NDArray[np.bool_]

Kind = Literal["q", "i", "u", "?"]
"""bigint or a time in microseconds, integer, uuid, boolean."""

_FORMATS: Final[dict[Kind, Any]] = {"q": ">i8", "i": ">i4", "u": (">u8", (2,)), "?": "?"}
_SIZES: Final[dict[Kind, int]] = {"q": 8, "i": 4, "u": 16, "?": 1}
_LENGTH: Final = 4
_ABSENT, _PRESENT = -1, 8


class Columns:
    """The numbers of rows. `last` is 0 where it is null, and then not `present`."""

    def __init__(self, rows: NDArray[np.void]) -> None:
        self._rows = rows
        self.present: Mask = np.ones(len(rows), bool)
        self.last: Integers = np.zeros(len(rows), np.int64)
        if "last" in (rows.dtype.names or ()):
            self.present = rows["length"] == _PRESENT
            self.last[self.present] = rows["last"][self.present]

    def is_whole(self) -> bool:
        """Whether `last` is null wherever it is not present."""
        return bool(self.present.all() or (self._rows["length"][~self.present] == _ABSENT).all())

    def __getitem__(self, name: str) -> Integers:
        return self._rows[name].astype(np.int64)

    def many(self, names: Sequence[str]) -> Integers:
        """A row for each name."""
        return np.array([self._rows[name] for name in names], np.int64)

    def at(self, rows: Integers) -> Columns:
        """Some of them."""
        return Columns(self._rows[rows])

    def id(self, name: str) -> tuple[Words, Words]:
        """Both halves of an uuid, in the order of their bytes."""
        both = self._rows[name].astype(np.uint64)
        return both[:, 0], both[:, 1]


class Layout:
    """Columns of one length, none of them null; then perhaps one of 8 bytes, `last`, that may be,
    which is never at the end of a row."""

    def __init__(self, *columns: tuple[str, Kind], last: str = "") -> None:
        at, lengths = 0, b""
        where: dict[str, int] = {}
        self._lengths: list[int] = []
        for name, kind in columns:
            self._lengths += range(at, at + _LENGTH)
            lengths += _SIZES[kind].to_bytes(_LENGTH)
            where[name] = at + _LENGTH
            at += _LENGTH + _SIZES[kind]
        formats = [_FORMATS[kind] for _, kind in columns]
        self.size = self._without = at
        """Bytes of them."""
        if last:
            where |= {"length": at, "last": at + _LENGTH}
            formats += [">i4", ">i8"]
            self._without, self.size = at + _LENGTH, at + _LENGTH + _PRESENT
        self._expected = np.frombuffer(lengths, np.uint8)
        self._row = np.dtype(
            {
                "names": list(where),
                "formats": formats,
                "offsets": list(where.values()),
                "itemsize": self.size,
            }
        )

        self.nothing = Columns(np.zeros(0, self._row))

    def read(self, rows: Sequence[bytes]) -> Columns:
        """Raises ValueError for rows that are not laid out so."""
        if not rows:
            return self.nothing
        content = b"".join([row[: self.size] for row in rows])
        if len(content) == len(rows) * self.size:
            found = Columns(np.frombuffer(content, self._row))
            there = np.frombuffer(content, np.uint8).reshape(len(rows), self.size)
            if (there[:, self._lengths] == self._expected).all() and found.is_whole():
                return found
        raise ValueError("a row is laid out in another way")

    def rests(self, rows: Sequence[bytes], columns: Columns) -> list[bytes]:
        """What follows in each row."""
        if columns.present.all():
            return [row[self.size :] for row in rows]
        if not columns.present.any():
            return [row[self._without :] for row in rows]
        starts = np.where(columns.present, self.size, self._without).tolist()
        return [row[at:] for row, at in zip(rows, starts, strict=True)]


def changes(*columns: NDArray[Any]) -> Mask:
    """Where a row differs from the one before it in one of the columns; the first one does."""
    new = np.zeros(len(columns[0]), bool)
    new[:1] = True
    for column in columns:
        new[1:] |= column[1:] != column[:-1]
    return new
