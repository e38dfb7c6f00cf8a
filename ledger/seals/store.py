"""Blocks and checkpoints in the database."""

from __future__ import annotations

from collections.abc import AsyncIterator, Sequence
from datetime import datetime
from typing import Any, Final, Protocol, cast

import asyncpg
from msgspec import Struct

from ledger.load import Reader
from ledger.seals.model import (
    Block,
    Chain,
    Head,
    Place,
    beginning,
    commit_of,
    key_of,
    place,
)


def _moment(column: str) -> str:
    """What the driver can tell of a time, whatever it is."""
    first, last = (f"timestamptz '{one}Z'" for one in ("0001-01-01 00:00", "9999-12-31 00:00"))
    return f"least(greatest({column}, {first}), {last})"


_COLUMNS = "chain, number, previous, hash, sealed_at, until_xid, until_key, entries"
_UNTIL = "coalesce(until_xid, 0), coalesce(until_key, '')"
_FIELDS = f"""
chain, number, coalesce(previous, ''), coalesce(hash, ''), {_moment("sealed_at")}, {_UNTIL},
coalesce(entries, '')
"""
"""Of a block, so that one that no sealer writes is read, too, and found not to have its hash."""
_HEAD_FIELDS = f"chain, number, coalesce(hash, ''), {_UNTIL}"

_HEAD = f"""
SELECT {_HEAD_FIELDS} FROM ledger.seals
WHERE chain = $1 AND number IS NOT NULL ORDER BY number DESC LIMIT 1
"""
_AT = f"SELECT {_HEAD_FIELDS} FROM ledger.seals WHERE chain = $1 AND number = $2"
_INSERT = f"INSERT INTO ledger.seals ({_COLUMNS}) VALUES ($1, $2, $3, $4, $5, $6, $7, $8)"
_BLOCKS = f"SELECT {_FIELDS} FROM ledger.seals WHERE chain = $1 AND number > $2 ORDER BY number"
_COVERING = f"""
SELECT {_FIELDS} FROM ledger.seals
WHERE chain = $1 AND (until_xid, until_key) >= ($2, $3)
ORDER BY until_xid, until_key LIMIT 1
"""
_BLOCK = f"SELECT {_FIELDS} FROM ledger.seals WHERE chain = $1 AND number = $2"

_CHECKPOINT_FIELDS = f"""
id, {_moment("at")}, coalesce(document, ''), coalesce(signature, ''), coalesce(public_key, '')
"""
_CHECKPOINTS = f"SELECT {_CHECKPOINT_FIELDS} FROM ledger.checkpoints WHERE id > $1 ORDER BY id"
_NEWEST = f"""
SELECT {_CHECKPOINT_FIELDS} FROM ledger.checkpoints WHERE id > 0 ORDER BY id DESC LIMIT $1
"""
_PUT_CHECKPOINT = """
INSERT INTO ledger.checkpoints (at, document, signature, public_key) VALUES ($1, $2, $3, $4)
RETURNING id
"""

PAGE: Final = 50
"""Blocks read at a time."""


class Fetching(Protocol):
    """Whatever answers a query with rows: a connection, or a pool."""

    async def fetch(self, query: str, *args: object) -> list[asyncpg.Record]: ...


class CheckpointRow(Struct, frozen=True):
    """A signed checkpoint as it is kept."""

    id: int
    at: datetime
    document: str
    signature: bytes
    public_key: bytes


async def head(connection: Fetching, chain: Chain) -> Head:
    return await _one_head(connection, chain, _HEAD, chain)


async def head_at(connection: Reader, chain: Chain, number: int) -> Head:
    """The chain as it ended with block `number`; its beginning when there is none."""
    return await _one_head(connection, chain, _AT, chain, number)


async def insert(connection: Reader, block: Block) -> None:
    """Raises UniqueViolationError when another wrote a block of that number."""
    await connection.execute(
        _INSERT,
        block.chain,
        block.number,
        block.previous,
        block.hash,
        block.sealed_at,
        commit_of(block.until),
        key_of(block.until),
        block.entries,
    )


async def blocks(connection: Reader, chain: Chain, after: int) -> AsyncIterator[Block]:
    """Blocks after number `after`, in order. Within a transaction."""
    cursor = await connection.cursor(_BLOCKS, chain, after)
    while found := await cursor.fetch(PAGE):
        for row in found:
            yield _block(tuple(row))


async def block(connection: Reader, chain: Chain, number: int) -> Block | None:
    row = await connection.fetchrow(_BLOCK, chain, number)
    return None if row is None else _block(tuple(row))


async def covering(connection: Reader, chain: Chain, at: Place) -> Block | None:
    """The block in which a row of that place is sealed; None when it is not yet."""
    row = await connection.fetchrow(_COVERING, chain, commit_of(at), key_of(at))
    return None if row is None else _block(tuple(row))


async def checkpoints(connection: Fetching, after: int = 0) -> list[CheckpointRow]:
    return [CheckpointRow(*row) for row in await connection.fetch(_CHECKPOINTS, after)]


async def newest_checkpoints(connection: Fetching, limit: int) -> list[CheckpointRow]:
    return [CheckpointRow(*row) for row in await connection.fetch(_NEWEST, limit)]


async def put_checkpoint(
    connection: Reader, at: datetime, document: str, signature: bytes, public_key: bytes
) -> int:
    return cast(
        int, await connection.fetchval(_PUT_CHECKPOINT, at, document, signature, public_key)
    )


async def _one_head(connection: Fetching, chain: Chain, query: str, *args: Any) -> Head:
    for row in await connection.fetch(query, *args):
        return Head(row[0], row[1], row[2], place(row[3], row[4]))
    return beginning(chain)


def _block(row: Sequence[Any]) -> Block:
    chain, number, previous, hash_, sealed_at, commit, key, entries = row
    return Block(chain, number, previous, hash_, sealed_at, place(commit, key), entries)
