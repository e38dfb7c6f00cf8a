"""Rows of a query as bytes: what PostgreSQL's binary COPY writes of them.

Of each column its length (4 bytes, -1 for null) and its value, in network order: no setting of a
session, server or client changes them. It is the quickest way to read many rows, for nobody makes
an object of a value. A column more stands before each row, random bytes drawn after the snapshot
was, so that one search finds where rows begin; nothing that is stored can hold them.
"""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from secrets import token_bytes
from typing import Final

from ledger.load import Connection

_MARK_BYTES: Final = 16
_LENGTH: Final = _MARK_BYTES.to_bytes(4)
_TRAILER: Final = b"\xff\xff"
_TURNS: Final = 4
"""Of the loop: the driver needs so many to take one piece of a COPY and to ask for the next."""

Halves = tuple[bytes, bytes]
"""A row in two parts."""


async def raw_rows(
    connection: Connection, fields: Sequence[str], source: str, *arguments: object
) -> list[bytes]:
    """`fields` of what `source` (from FROM on) says. All of them are kept in memory."""
    return await _rows(connection, token_bytes(_MARK_BYTES), ", ".join(fields), source, arguments)


async def raw_halves(
    connection: Connection,
    fields: tuple[Sequence[str], Sequence[str]],
    source: str,
    *arguments: object,
) -> list[Halves]:
    """As `raw_rows`, each row in two parts."""
    mark = token_bytes(_MARK_BYTES)
    one, two = (", ".join(part) for part in fields)
    rows = await _rows(connection, mark, f"{one}, {_column(mark)}, {two}", source, arguments)
    return [(first, second) for first, _, second in [row.partition(_LENGTH + mark) for row in rows]]


async def _rows(
    connection: Connection, mark: bytes, fields: str, source: str, arguments: Sequence[object]
) -> list[bytes]:
    chunks: list[bytes] = []

    async def take(chunk: bytes) -> None:
        chunks.append(chunk)

    query = f"SELECT {_column(mark)}, {fields} {source}"
    await connection.copy_from_query(query, *arguments, output=take, format="binary")
    content = b"".join(chunks)
    at = content.find(_LENGTH + mark)
    if at < 0:
        return []
    # A row begins with the number of its columns, which is the same for all of them.
    rows = content.removesuffix(_TRAILER)[at - 2 :].split(content[at - 2 : at + 4 + len(mark)])
    return rows[1:]


def _column(mark: bytes) -> str:
    return f"'\\x{mark.hex()}'::bytea"


async def breathe() -> None:
    """Take in what servers have sent meanwhile, so that they need not wait for room."""
    for _ in range(_TURNS):
        await asyncio.sleep(0)
