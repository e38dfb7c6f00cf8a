"""A block of sealed rows, and its hash.

A digest is SHA-256 over the bytes PostgreSQL's `record_send` gives for a row (of a transaction:
its row, then its postings in order): the number of columns, then of each its type, its length and
its value, all in network order. They depend on no setting of a session, server or client.

A block's hash is SHA-256 over what stands in `Block.content`, the hash before it included.
"""

from __future__ import annotations

import struct
from collections.abc import Sequence
from datetime import UTC, datetime, timedelta
from hashlib import sha256
from typing import Final, Literal

from msgspec import Struct

Chain = Literal["journal", "answers"]
CHAINS: Final[tuple[Chain, ...]] = ("journal", "answers")
"""Transactions with their postings; and the answers kept under idempotency keys."""

DIGEST_BYTES: Final = 32
VERSION_DIGITS: Final = 19
_EPOCH: Final = datetime(1970, 1, 1, tzinfo=UTC)

Place = tuple[int, str]
"""Where a row stands in its chain: the number of its commit, then its key."""

BEGINNING: Final[Place] = (-1, "")


def microseconds(moment: datetime) -> int:
    """Since 1970."""
    return (moment - _EPOCH) // timedelta(microseconds=1)


class Row(Struct, frozen=True):
    """A row to be sealed: the number of its commit, and its name in its chain."""

    commit: int
    name: str
    digest: bytes


def key_of(chain: Chain, name: str) -> str:
    """By which rows of one commit are sorted: `customer/version` does not sort as it is."""
    if chain == "answers":
        return name
    customer, _, version = name.partition("/")
    return customer + version.zfill(VERSION_DIGITS)


def place_of(chain: Chain, row: Row) -> Place:
    return (row.commit, key_of(chain, row.name))


class Block(Struct, frozen=True):
    """Rows up to `until` (inclusive) that come after those of the block before."""

    chain: Chain
    number: int
    previous: bytes
    hash: bytes
    sealed_at: datetime
    until: Place
    names: Sequence[str]
    digests: bytes

    def content(self) -> bytes:
        """What the hash is taken of: number, time in microseconds since 1970, place, then of
        each row the length of its name, its name and its digest. Integers have 8 bytes."""
        commit, key = self.until
        parts = [
            self.previous,
            _integer(self.number),
            _integer(microseconds(self.sealed_at)),
            _integer(commit),
            *_text(key),
        ]
        for number, name in enumerate(self.names):
            parts += _text(name)
            parts.append(self.digests[number * DIGEST_BYTES : (number + 1) * DIGEST_BYTES])
        return b"".join(parts)

    @property
    def true_hash(self) -> bytes:
        return sha256(self.content()).digest()


class Head(Struct, frozen=True):
    """The end of a chain: its last block, or its beginning (number 0)."""

    chain: Chain
    number: int
    hash: bytes
    until: Place


def beginning(chain: Chain) -> Head:
    """The head of a chain without blocks: its hash tells chains apart."""
    return Head(chain, 0, sha256(f"bonus-ledger/{chain}/1".encode()).digest(), BEGINNING)


def next_block(head: Head, rows: Sequence[Row], sealed_at: datetime) -> Block:
    """The block of `rows` (at least one) after `head`."""
    unsealed = Block(
        head.chain,
        head.number + 1,
        head.hash,
        b"",
        sealed_at,
        place_of(head.chain, rows[-1]),
        [row.name for row in rows],
        b"".join([row.digest for row in rows]),
    )
    return _sealed(unsealed)


def head_of(block: Block) -> Head:
    return Head(block.chain, block.number, block.hash, block.until)


def _sealed(block: Block) -> Block:
    return Block(
        block.chain,
        block.number,
        block.previous,
        block.true_hash,
        block.sealed_at,
        block.until,
        block.names,
        block.digests,
    )


_integer = struct.Struct(">q").pack


def _text(value: str) -> tuple[bytes, bytes]:
    encoded = value.encode()
    return _integer(len(encoded)), encoded
