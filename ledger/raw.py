"""Rows of a query as bytes: what PostgreSQL's binary COPY writes of them.

Of each column its length (4 bytes, -1 for null) and its value, in network order: no setting of a
session, server or client changes them. It is the quickest way to read many rows, for nobody makes
an object of a value. A column more stands before each row, random bytes drawn after the snapshot
was, so that one search finds where rows begin; nothing that is stored can hold them.
"""

from __future__ import annotations

import asyncio
import re
from collections.abc import Sequence
from secrets import token_bytes
from typing import Final
from uuid import UUID

from ledger.load import Connection

_MARK_BYTES: Final = 16
_LENGTH: Final = _MARK_BYTES.to_bytes(4)
_TRAILER: Final = b"\xff\xff"
_ARGUMENT: Final = re.compile(r"\$(\d+)")
_FEW, _MANY, _A_MOMENT = 4096, 32768, 0.001
"""Bytes, and seconds. Each piece of a COPY costs the driver the same, and where the server is the
slower of us, it has a few rows only. So it is left alone for a moment, too short for it to fill
what a socket holds."""
_TURNS: Final = 4
"""Of the loop: the driver needs so many to take one piece of a COPY and to ask for the next."""

Halves = tuple[list[bytes], list[bytes]]
"""Rows in two parts: the first of all of them, and the second."""


async def raw_rows(
    connection: Connection, fields: Sequence[str], source: str, *arguments: object
) -> list[bytes]:
    """`fields` of what `source` (from FROM on) says. All of them are kept in memory."""
    mark = token_bytes(_MARK_BYTES)
    # A row begins with the number of its columns.
    between = (len(fields) + 1).to_bytes(2) + _LENGTH + mark
    return await _pieces(connection, between, [_column(mark), *fields], source, arguments)


async def raw_halves(
    connection: Connection,
    fields: tuple[Sequence[str], Sequence[str]],
    source: str,
    *arguments: object,
) -> Halves:
    """As `raw_rows`, in two parts."""
    mark = token_bytes(_MARK_BYTES)
    columns = [_column(mark), *fields[0], _column(mark), *fields[1]]
    pieces = await _pieces(connection, _LENGTH + mark, columns, source, arguments)
    # A second part has the number of the next row's columns behind it, the last one has none.
    return pieces[::2], [*(piece[:-2] for piece in pieces[1:-1:2]), *pieces[-1:]]


async def _pieces(
    connection: Connection,
    between: bytes,
    columns: Sequence[str],
    source: str,
    arguments: Sequence[object],
) -> list[bytes]:
    pieces: list[bytes] = []
    cut_off = b""

    async def take(chunk: bytes) -> None:
        nonlocal cut_off
        *more, cut_off = (cut_off + chunk).split(between)
        pieces.extend(more)
        if _FEW < len(chunk) < _MANY:
            await asyncio.sleep(_A_MOMENT)

    asked = _ARGUMENT.sub(lambda found: _literal(arguments[int(found[1]) - 1]), source)
    query = f"SELECT {', '.join(columns)} {asked}"
    copying = asyncio.ensure_future(connection.copy_from_query(query, output=take, format="binary"))
    try:
        await asyncio.shield(copying)
    except asyncio.CancelledError:
        # A COPY that is cut off leaves a connection that cannot even roll back: let it end.
        await asyncio.gather(copying, return_exceptions=True)
        raise
    return [*pieces[1:], cut_off[: -len(_TRAILER)]] if pieces else []


def _column(mark: bytes) -> str:
    """An uuid: written without a backslash, which a setting may give another meaning."""
    return f"'{mark.hex()}'::uuid"


def _literal(value: object) -> str:
    """In SQL. COPY takes no parameters, and the driver would ask the server to quote each."""
    if isinstance(value, UUID):
        return f"'{value}'::uuid"
    if isinstance(value, int):
        return str(value)
    if isinstance(value, str):
        quoted = value.replace("\\", "\\\\").replace("'", "''")
        return f"E'{quoted}'"
    if isinstance(value, list):
        return f"ARRAY[{', '.join(map(_literal, value))}]"
    raise TypeError(f"no literal for {value!r}")


async def breathe() -> None:
    """Take in what servers have sent meanwhile, so that they need not wait for room."""
    for _ in range(_TURNS):
        await asyncio.sleep(0)
