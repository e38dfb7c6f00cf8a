"""A block of sealed rows, and its hash.

A row is sealed by the SHA-256 of its bytes (`canonical`). Its place in its chain is the number of
its commit (8 bytes), then its key: customer and version (16 and 8 bytes), or an idempotency key in
UTF-8. Places sort as bytes, which is the same on every server. A block has an entry of each row:
the length of its place (4 bytes), its place, its digest. Integers are in network order.

A block's hash is SHA-256 over what `Block.content` says, the hash of the block before included.
"""

from __future__ import annotations

import struct
from collections.abc import Callable, Sequence
from datetime import UTC, datetime, timedelta
from hashlib import sha256
from operator import itemgetter
from typing import Final, Literal
from uuid import UUID

from msgspec import Struct
from msgspec.structs import replace

Chain = Literal["journal", "answers"]
CHAINS: Final[tuple[Chain, ...]] = ("journal", "answers")
"""Transactions with their postings; and the answers kept under idempotency keys."""

DIGEST_BYTES: Final = 32
COMMIT_BYTES: Final = 8
_JOURNAL_PLACE: Final = COMMIT_BYTES + 16 + 8
KEY_LENGTH: Final = struct.Struct(">i")
JOURNAL_HEAD: Final = KEY_LENGTH.pack(_JOURNAL_PLACE)
"""What an entry of the journal begins with: the length of its place."""
_EPOCH: Final = datetime(1970, 1, 1, tzinfo=UTC)
_integer = struct.Struct(">q").pack

Place = bytes
"""Where a row stands in its chain."""

Entry = bytes
"""A row in a block."""

BEGINNING: Final[Place] = b""


class Unreadable(Exception):
    """The entries of a block are none."""


def microseconds(moment: datetime) -> int:
    """Since 1970."""
    return (moment - _EPOCH) // timedelta(microseconds=1)


def place(commit: int, key: bytes) -> Place:
    return _integer(commit) + key


place_of: Final[Callable[[Entry], Place]] = itemgetter(slice(KEY_LENGTH.size, -DIGEST_BYTES))
"""The place of a row in a block."""


def commit_of(place: Place) -> int:
    """The number of the commit; -1 before all of them."""
    return int.from_bytes(place[:COMMIT_BYTES], signed=True) if place else -1


def key_of(place: Place) -> bytes:
    return place[COMMIT_BYTES:]


def name_of(chain: Chain, place: Place) -> str:
    """What people call a row: `customer/version`, or its idempotency key."""
    key = key_of(place)
    if chain == "answers" or not key:
        return key.decode(errors="replace").replace("\0", "\ufffd")
    version = int.from_bytes(key[16:24], signed=True)
    return f"{UUID(bytes=key[:16].ljust(16, bytes(1)))}/{version}"


def key_named(chain: Chain, name: str) -> bytes:
    """The key of a row that people call so. Raises ValueError for what is no name."""
    if chain == "answers" or not name:
        return name.encode()
    customer, _, version = name.partition("/")
    return UUID(customer).bytes + _integer(int(version))


def split(packed: bytes) -> list[Entry]:
    """The entries of a block. Raises Unreadable."""
    size = KEY_LENGTH.size + _JOURNAL_PLACE + DIGEST_BYTES
    count, rest = divmod(len(packed), size)
    if not rest and all(
        packed[at::size] == bytes([byte]) * count for at, byte in enumerate(JOURNAL_HEAD)
    ):
        return [packed[at : at + size] for at in range(0, len(packed), size)]
    entries = []
    at, size, more = 0, len(packed), KEY_LENGTH.size + DIGEST_BYTES
    while at < size:
        length = int.from_bytes(packed[at : at + KEY_LENGTH.size])
        end = at + length + more
        if end > size:
            raise Unreadable
        entries.append(packed[at:end])
        at = end
    return entries


class Block(Struct, frozen=True):
    """Rows up to `until` (inclusive) that come after those of the block before."""

    chain: Chain
    number: int
    previous: bytes
    hash: bytes
    sealed_at: datetime
    until: Place
    entries: bytes

    @property
    def true_hash(self) -> bytes:
        """SHA-256 of the hash before it, its number and time (microseconds since 1970; 8 bytes
        each), and its entries."""
        content = self.previous, _integer(self.number), _integer(microseconds(self.sealed_at))
        return sha256(b"".join((*content, self.entries))).digest()


class Head(Struct, frozen=True):
    """The end of a chain: its last block, or its beginning (number 0)."""

    chain: Chain
    number: int
    hash: bytes
    until: Place


def beginning(chain: Chain) -> Head:
    """The head of a chain without blocks: its hash tells chains apart."""
    return Head(chain, 0, sha256(f"bonus-ledger/{chain}/3".encode()).digest(), BEGINNING)


def next_block(head: Head, entries: Sequence[Entry], sealed_at: datetime) -> Block:
    """The block of `entries` (at least one) after `head`."""
    unsealed = Block(
        head.chain,
        head.number + 1,
        head.hash,
        b"",
        sealed_at,
        place_of(entries[-1]),
        b"".join(entries),
    )
    return replace(unsealed, hash=unsealed.true_hash)


def end_of(block: Block) -> Place:
    """Where a block ends by its entries, or what it says when those are none."""
    try:
        return place_of(split(block.entries)[-1])
    except (Unreadable, IndexError):
        return block.until


def head_of(block: Block) -> Head:
    return Head(block.chain, block.number, block.hash, block.until)
