"""The reader of the chains: blocks and rows are compared, and what differs is named.

A chain whose hashes are right may still have been written anew by somebody who could write all of
the database: that is what checkpoints kept elsewhere are for (`Trusted`).
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Final
from uuid import UUID

from msgspec import Struct

from ledger.findings import Finding
from ledger.load import Connection
from ledger.seals import store
from ledger.seals.era import NEXT
from ledger.seals.model import DIGEST_BYTES, Block, Chain, Head, Row, head_of, place_of
from ledger.seals.streams import Stream

MAX_FINDINGS: Final = 1000
_KINDS: Final[dict[Chain, str]] = {"journal": "transaction", "answers": "answer"}

_ELSEWHERE: Final[dict[Chain, str]] = {
    "journal": "SELECT xid FROM ledger.transactions WHERE customer_id = $1 AND version = $2",
    "answers": "SELECT xid FROM ledger.idempotency_keys WHERE key = $1",
}


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
    progress: Callable[[int], None] = lambda _: None,
) -> Verified:
    """Compare a chain with its rows, after `after` (a block whose hash is known to be right).

    Runs within a transaction of one snapshot. `progress` hears how many rows are done.
    """
    seen = Verified(after)
    due = {} if trusted is None else trusted.of(chain)
    coming = await connection.fetchval(NEXT)
    stream = Stream(connection, chain, after.until, 2**62)
    async for block in store.blocks(connection, chain, after.number):
        seen.findings += _of_block(block, seen.head, due.pop(block.number, None))
        await _compare(connection, block, stream, seen)
        seen.head = head_of(block)
        seen.blocks += 1
        progress(seen.rows)
        if len(seen.findings) > MAX_FINDINGS:
            return seen
    for number, (_, who) in sorted(due.items()):
        if number > after.number:
            detail = f"is missing, but {who} has it: the end of the chain was cut off"
            seen.findings.append(Finding("block", None, f"{chain} {number}", detail))
    await _rest(chain, stream, coming, seen)
    return seen


async def verify_rows(
    connection: Connection, chain: Chain, rows: Sequence[Row]
) -> tuple[int, list[Finding]]:
    """Compare single rows with the blocks that have them; how many no block has yet."""
    findings: list[Finding] = []
    unsealed = 0
    for row in rows:
        block = await store.covering(connection, chain, *place_of(chain, row))
        if block is None:
            unsealed += 1
            continue
        if block.hash != block.true_hash:
            findings.append(_wrong_hash(block))
        said = _digests(block).get(row.name)
        if said != row.digest:
            findings.append(_differing(chain, row, block, said is None))
    return unsealed, findings


def _of_block(block: Block, before: Head, said: tuple[bytes, str] | None) -> list[Finding]:
    """What is wrong with a block itself."""
    findings = []
    which = f"{block.chain} {block.number}"
    if block.number != before.number + 1:
        detail = f"comes after block {before.number}: blocks between them are missing"
        findings.append(Finding("block", None, which, detail))
    elif block.previous != before.hash:
        detail = "does not name the hash of the block before it: one of them was put in later"
        findings.append(Finding("block", None, which, detail))
    if block.hash != block.true_hash:
        findings.append(_wrong_hash(block))
    if block.until <= before.until:
        findings.append(Finding("block", None, which, "ends before the block before it"))
    if said is not None and said[0] != block.hash:
        detail = f"is not the block that {said[1]} has: the chain was written anew"
        findings.append(Finding("block", None, which, detail))
    return findings


def _wrong_hash(block: Block) -> Finding:
    detail = "has another hash than its content: the seal was changed"
    return Finding("block", None, f"{block.chain} {block.number}", detail)


async def _compare(connection: Connection, block: Block, stream: Stream, seen: Verified) -> None:
    """The rows of one block: equal as a whole, or compared one by one."""
    rows = await stream.take(len(block.names))
    names = [row.name for row in rows]
    digests = b"".join([row.digest for row in rows])
    if names == block.names and digests == block.digests:
        seen.rows += len(rows)
        return
    stream.put_back(rows)
    rows = await stream.take_until(block.until)
    seen.rows += len(rows)
    seen.findings += await _differences(connection, block, rows)


async def _differences(connection: Connection, block: Block, rows: Sequence[Row]) -> list[Finding]:
    sealed, there = _digests(block), {row.name: row for row in rows}
    findings = [
        _differing(block.chain, row, block, row.name not in sealed)
        for row in rows
        if sealed.get(row.name) != row.digest
    ]
    missing = [name for name in sealed if name not in there]
    findings += [await _missing(connection, block, name) for name in missing]
    if not findings and [row.name for row in rows] != list(block.names):
        which = f"{block.chain} {block.number}"
        findings.append(Finding("block", None, which, "its rows stand in another order"))
    return findings


async def _missing(connection: Connection, block: Block, name: str) -> Finding:
    customer, arguments = None, (name,)
    if block.chain == "journal":
        text, _, version = name.partition("/")
        customer, arguments = UUID(text), (UUID(text), int(version))  # type: ignore[assignment]
    commit = await connection.fetchval(_ELSEWHERE[block.chain], *arguments)
    if commit is None:
        detail = f"is sealed in block {block.number}, and was deleted"
    else:
        detail = f"is sealed in block {block.number}, and was moved to commit {commit}"
    return Finding(_KINDS[block.chain], customer, name, detail)


def _differing(chain: Chain, row: Row, block: Block, foreign: bool) -> Finding:
    customer = UUID(row.name.partition("/")[0]) if chain == "journal" else None
    what = "it or its postings were" if chain == "journal" else "it was"
    if foreign:
        detail = f"stands among what block {block.number} sealed without it: it was inserted"
    else:
        detail = f"is not what block {block.number} sealed: {what} changed"
    return Finding(_KINDS[chain], customer, row.name, detail)


async def _rest(chain: Chain, stream: Stream, coming: int, seen: Verified) -> None:
    """Rows after the last block: not sealed yet, unless no snapshot can have seen their commit."""
    async for rows in stream.chunks(1000):
        seen.unsealed += len(rows)
        for row in rows:
            if row.commit >= coming and len(seen.findings) <= MAX_FINDINGS:
                customer = UUID(row.name.partition("/")[0]) if chain == "journal" else None
                detail = f"has the number of a commit that is still to come: {row.commit}"
                seen.findings.append(Finding(_KINDS[chain], customer, row.name, detail))


def _digests(block: Block) -> dict[str, bytes]:
    return {
        name: block.digests[at * DIGEST_BYTES : (at + 1) * DIGEST_BYTES]
        for at, name in enumerate(block.names)
    }
