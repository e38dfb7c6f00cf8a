"""The writer of the chains: what is committed becomes blocks, far from the hot path.

Only commits below the horizon are read: all of them are over, so that none is skipped because it
came late. Whatever dies between two blocks, the next one goes on after the last.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Final

from msgspec.structs import replace

from ledger.group import Clock
from ledger.load import Connection
from ledger.seals import store
from ledger.seals.model import (
    CHAINS,
    Chain,
    Head,
    commit_of,
    end_of,
    head_of,
    next_block,
)
from ledger.seals.streams import Stream

BLOCK: Final = 1000
"""Rows of a block, at most. A commit may be spread over several."""
BLOCKS_A_SNAPSHOT: Final = 500

ADVISORY_LOCK: Final = 0x626F6E7573_06
"""One sealer at a time ("bonus", 6)."""

HORIZON: Final = "SELECT ledger.horizon()"


class CommitsGoBack(Exception):
    """The last block is of commits that this server has not come to."""

    def __init__(self, chain: Chain, sealed: int, horizon: int) -> None:
        super().__init__(
            f"The chain {chain!r} is sealed up to commit {sealed}, but this server has only come "
            f"to {horizon}: it was restored from elsewhere. Run `bonus migrate`."
        )


async def seal(
    reader: Connection,
    writer: Connection,
    clock: Clock,
    *,
    block: int = BLOCK,
    progress: Callable[[int], None] = lambda _: None,
    stopping: Callable[[], bool] = lambda: False,
) -> int:
    """Seal all that is committed; how many rows were. 0 when another sealer is at it.

    `progress` hears how many were sealed so far. Raises CommitsGoBack.
    """
    if not await writer.fetchval("SELECT pg_try_advisory_lock($1)", ADVISORY_LOCK):
        return 0
    sealed = 0
    try:
        for chain in CHAINS:
            more = True
            while more and not stopping():
                count, more = await _seal_some(reader, writer, chain, clock, block, stopping)
                sealed += count
                progress(sealed)
    finally:
        await writer.execute("SELECT pg_advisory_unlock($1)", ADVISORY_LOCK)
    return sealed


async def _seal_some(
    reader: Connection,
    writer: Connection,
    chain: Chain,
    clock: Clock,
    block: int,
    stopping: Callable[[], bool],
) -> tuple[int, bool]:
    """The blocks of one snapshot: how many rows, and whether there may be more."""
    head = await _end(writer, chain)
    sealed, blocks = 0, 0
    async with reader.transaction(isolation="repeatable_read", readonly=True):
        horizon = await _horizon(reader, head)
        async with Stream(reader, chain, head.until, horizon, ahead=True) as stream:
            async for entries in stream.chunks(block):
                made = next_block(head, entries, clock())
                await store.insert(writer, made)
                head = head_of(made)
                sealed, blocks = sealed + len(entries), blocks + 1
                if stopping() or blocks == BLOCKS_A_SNAPSHOT:
                    return sealed, True
    return sealed, False


async def _end(connection: Connection, chain: Chain) -> Head:
    """The head, as the entries of its block have it when they are what was sealed: columns beside
    them that somebody changed would let rows be sealed twice, or none any more."""
    head = await store.head(connection, chain)
    last = await store.block(connection, chain, head.number)
    if last is None or last.hash != last.true_hash:
        return head
    return replace(head, until=end_of(last))


async def _horizon(reader: Connection, head: Head) -> int:
    horizon: int = await reader.fetchval(HORIZON)
    sealed = commit_of(head.until)
    if sealed > horizon:
        raise CommitsGoBack(head.chain, sealed, horizon)
    return horizon
