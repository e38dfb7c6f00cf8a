"""The reader of the chains: blocks and rows are compared, and what differs is named.

A chain whose hashes are right may still have been written anew by somebody who could write all of
the database: that is what checkpoints kept elsewhere are for (`Trusted`).
"""

from __future__ import annotations

from collections.abc import AsyncIterator, Callable, Iterable, Mapping, Sequence
from operator import lt
from typing import Final
from uuid import UUID

from msgspec import Struct

from ledger.findings import Finding
from ledger.load import Connection
from ledger.seals import store
from ledger.seals.era import NEXT
from ledger.seals.model import (
    Block,
    Chain,
    Entry,
    Head,
    Place,
    Unreadable,
    commit_of,
    head_of,
    key_of,
    name_of,
    place_of,
    split,
)
from ledger.seals.streams import Stream
from ledger.seals.tally import Tally

MAX_FINDINGS: Final = 1000
_KINDS: Final[dict[Chain, str]] = {"journal": "transaction", "answers": "answer"}

_ELSEWHERE: Final[dict[Chain, str]] = {
    "journal": "SELECT xid FROM ledger.transactions WHERE customer_id = $1 AND version = $2",
    "answers": "SELECT xid FROM ledger.idempotency_keys WHERE key = $1",
}

Progress = Callable[[int], None]
"""Hears how many rows are done."""


class Trusted(Struct, frozen=True):
    """Hashes of blocks by chain and number, and who says so: kept elsewhere, or signed."""

    hashes: Mapping[tuple[Chain, int], tuple[bytes, str]]

    def of(self, chain: Chain) -> dict[int, tuple[bytes, str]]:
        return {number: said for (one, number), said in self.hashes.items() if one == chain}


class Verified(Struct):
    """What was seen of a chain: its head, rows that no block has yet, and what is wrong."""

    head: Head
    blocks: int = 0
    rows: int = 0
    unsealed: int = 0
    findings: list[Finding] = []


async def verify(
    connection: Connection,
    chain: Chain,
    *,
    after: Head,
    trusted: Trusted | None = None,
    progress: Progress = lambda _: None,
) -> Verified:
    """Compare a chain with its rows, after `after` (a block whose hash is known to be right).

    Runs within a transaction of one snapshot.
    """
    seen = Verified(after)
    stream = Stream(connection, chain, after.until, 2**62)
    async for block in _followed(connection, chain, seen, trusted):
        rows = await stream.take_packed(block.entries)
        if _in_order(rows, seen.head.until, block.until):
            seen.rows += len(rows)
        else:
            stream.put_back(rows)
            await _compare(connection, block, _read(block, seen), stream, seen)
        progress(seen.rows)
    if len(seen.findings) <= MAX_FINDINGS:
        coming: int = await connection.fetchval(NEXT)
        async for rest in stream.chunks(1000):
            not_sealed(rest, coming, seen)
    return seen


async def verify_blocks(
    connection: Connection, tally: Tally, *, after: Head, trusted: Trusted | None = None
) -> Verified:
    """Look at a chain alone. Its entries come into the tally, for whoever reads its rows in
    another order; until those have come to the same, `verify` is needed to name what differs."""
    seen = Verified(after)
    async for block in _followed(connection, after.chain, seen, trusted):
        entries = _read(block, seen) or ()
        tally.add(entries)
        seen.rows += len(entries)
    return seen


def not_sealed(entries: Sequence[Entry], coming: int, seen: Verified) -> None:
    """Rows after the last block: not sealed yet, unless no snapshot can have seen their commit."""
    seen.unsealed += len(entries)
    for one in entries:
        commit = commit_of(place_of(one))
        if commit >= coming and len(seen.findings) <= MAX_FINDINGS:
            detail = f"has the number of a commit that is still to come: {commit}"
            seen.findings.append(_finding(seen.head.chain, place_of(one), detail))


async def verify_rows(
    connection: Connection, chain: Chain, entries: Sequence[Entry]
) -> tuple[int, list[Finding]]:
    """Compare single rows with the blocks that have them; how many no block has yet."""
    findings: list[Finding] = []
    unsealed = 0
    for one in entries:
        block = await store.covering(connection, chain, place_of(one))
        if block is None:
            unsealed += 1
            continue
        if block.hash != block.true_hash:
            findings.append(_wrong_hash(block))
        sealed = _by_key(_entries(block, findings) or ())
        if (said := sealed.get(key_of(place_of(one)))) != one:
            findings.append(_differing(one, block, said is None))
    return unsealed, findings


async def _followed(
    connection: Connection, chain: Chain, seen: Verified, trusted: Trusted | None
) -> AsyncIterator[Block]:
    """The blocks after the head seen, which each of them becomes when the next one is asked for."""
    after = seen.head.number
    due = {} if trusted is None else trusted.of(chain)
    async for block in store.blocks(connection, chain, after):
        seen.findings += _of_block(block, seen.head, due.pop(block.number, None))
        yield block
        seen.head = head_of(block)
        seen.blocks += 1
        if len(seen.findings) > MAX_FINDINGS:
            return
    for number, (_, who) in sorted(due.items()):
        if number > after:
            detail = f"is missing, but {who} has it: the end of the chain was cut off"
            seen.findings.append(Finding("block", None, f"{chain} {number}", detail))


def _of_block(block: Block, before: Head, said: tuple[bytes, str] | None) -> list[Finding]:
    """What is wrong with a block itself."""
    findings = []
    if block.number != before.number + 1:
        detail = f"comes after block {before.number}: blocks between them are missing"
        findings.append(_of(block, detail))
    elif block.previous != before.hash:
        detail = "does not name the hash of the block before it: one of them was put in later"
        findings.append(_of(block, detail))
    if block.hash != block.true_hash:
        findings.append(_wrong_hash(block))
    if said is not None and said[0] != block.hash:
        detail = f"is not the block that {said[1]} has: the chain was written anew"
        findings.append(_of(block, detail))
    return findings


def _of(block: Block, detail: str) -> Finding:
    return Finding("block", None, f"{block.chain} {block.number}", detail)


def _wrong_hash(block: Block) -> Finding:
    return _of(block, "has another hash than its content: the seal was changed")


def _read(block: Block, seen: Verified) -> list[Entry] | None:
    """The entries of the block after the head seen, None when they cannot be read."""
    entries = _entries(block, seen.findings)
    if entries is not None and not _in_order(entries, seen.head.until, block.until):
        detail = "its rows stand in another order, or not where it ends"
        seen.findings.append(_of(block, detail))
    return entries


def _entries(block: Block, findings: list[Finding]) -> list[Entry] | None:
    try:
        return split(block.entries)
    except Unreadable:
        findings.append(_of(block, "has a list of rows that cannot be read"))
        return None


def _in_order(entries: Sequence[Entry], after: Place, until: Place) -> bool:
    places = list(map(place_of, entries))
    return bool(places) and places[-1] == until and all(map(lt, [after, *places], places))


async def _compare(
    connection: Connection,
    block: Block,
    entries: list[Entry] | None,
    stream: Stream,
    seen: Verified,
) -> None:
    """The rows of one block, one by one."""
    rows = await stream.take_until(block.until)
    seen.rows += len(rows)
    if entries is not None:
        seen.findings += await _differences(connection, block, entries, rows)


async def _differences(
    connection: Connection, block: Block, entries: Sequence[Entry], rows: Sequence[Entry]
) -> list[Finding]:
    sealed, there = _by_key(entries), _by_key(rows)
    findings = [
        _differing(one, block, key not in sealed)
        for key, one in there.items()
        if sealed.get(key) != one
    ]
    missing = [place_of(one) for key, one in sealed.items() if key not in there]
    findings += [await _missing(connection, block, place) for place in missing]
    if not findings and len(rows) != len(there):
        findings.append(_of(block, "has rows that are there more than once"))
    return findings


async def _missing(connection: Connection, block: Block, place: Place) -> Finding:
    name = name_of(block.chain, place)
    arguments: tuple[object, ...] = (name,)
    if block.chain == "journal":
        customer, _, version = name.partition("/")
        arguments = (UUID(customer), int(version))
    commit = await connection.fetchval(_ELSEWHERE[block.chain], *arguments)
    if commit is None:
        detail = f"is sealed in block {block.number}, and was deleted"
    else:
        detail = f"is sealed in block {block.number}, and was moved to commit {commit}"
    return _finding(block.chain, place, detail)


def _differing(row: Entry, block: Block, foreign: bool) -> Finding:
    what = "it or its postings were" if block.chain == "journal" else "it was"
    if foreign:
        detail = f"stands among what block {block.number} sealed without it: it was inserted"
    else:
        detail = f"is not what block {block.number} sealed: {what} changed"
    return _finding(block.chain, place_of(row), detail)


def _finding(chain: Chain, place: Place, detail: str) -> Finding:
    name = name_of(chain, place)
    customer = UUID(name.partition("/")[0]) if chain == "journal" else None
    return Finding(_KINDS[chain], customer, name, detail)


def _by_key(entries: Iterable[Entry]) -> dict[bytes, Entry]:
    return {key_of(place_of(one)): one for one in entries}
