"""Checkpoints: the heads of the chains at a time, signed.

Each is a row, an event `ledger.checkpoint` (so that webhooks carry it away), and, with
BONUS_CHECKPOINT_FILE, a line of a file that belongs on another machine or on a medium that cannot
be rewritten. A line is one JSON object: `document` is the signed text as it was signed.
"""

from __future__ import annotations

import fcntl
from collections.abc import Iterable, Sequence
from datetime import datetime, timedelta
from pathlib import Path
from typing import Annotated, Any, Final

import msgspec
from sqlalchemy import text
from sqlalchemy.ext.asyncio import AsyncConnection

from billing.audits.signing import SealKey, is_signed
from billing.events.schemas import LedgerCheckpoint
from billing.events.store import record
from ledger.findings import Finding
from ledger.seals.model import CHAINS, Chain, Head
from ledger.seals.store import CheckpointRow
from ledger.seals.verifying import Trusted

EVERY: Final = timedelta(hours=1)
LOOK_BACK: Final = 20
"""Checkpoints among which the newest of ours is looked for."""
FORMAT: Final = "bonus-ledger-checkpoint/1"

_PUT = text("""
INSERT INTO ledger.checkpoints (at, document, signature, public_key)
VALUES (:at, :document, :signature, :public_key)
""")


class HeadOut(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """A chain's end: the number of its last block, and that block's hash in hex."""

    block: int
    hash: str


class Document(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """What is signed."""

    format: str
    at: Annotated[datetime, msgspec.Meta(tz=True)]
    chains: dict[str, HeadOut]


class Line(msgspec.Struct, frozen=True):
    """A checkpoint outside: `signature` and `public_key` in hex."""

    id: int
    document: str
    signature: str
    public_key: str


async def write(tx: AsyncConnection, key: SealKey, heads: Sequence[Head], at: datetime) -> None:
    """Sign the heads, keep the checkpoint and tell it."""
    chains: dict[str, HeadOut] = {one.chain: HeadOut(one.number, one.hash.hex()) for one in heads}
    document = msgspec.json.encode(Document(FORMAT, at, chains), order="deterministic")
    signature = key.sign(document)
    values: dict[str, Any] = {
        "at": at,
        "document": document.decode(),
        "signature": signature,
        "public_key": key.public,
    }
    await tx.execute(_PUT, values)
    told = LedgerCheckpoint(
        document=document.decode(), signature=signature.hex(), public_key=key.public.hex()
    )
    await record(tx, told, at)


def is_due(
    newest: Iterable[CheckpointRow], key: bytes, heads: Sequence[Head], now: datetime
) -> bool:
    """Whether the chains grew since the newest checkpoint that `key` signed, and it is time: what
    others wrote puts none off."""
    if all(one.number == 0 for one in heads):
        return False
    ours = (_read(row.document) for row in newest if _fault(line_of(row), key) is None)
    said = next((one for one in ours if one is not None), None)
    if said is None:
        return True
    grown = any(
        one.number > (said.chains[one.chain].block if one.chain in said.chains else 0)
        for one in heads
    )
    return grown and not timedelta(0) <= now - said.at < EVERY


def line_of(row: CheckpointRow) -> Line:
    return Line(row.id, row.document, row.signature.hex(), row.public_key.hex())


def append(file: Path, rows: Sequence[CheckpointRow]) -> int:
    """Add to the file what it does not have yet; how many lines. Several may do so at once."""
    with file.open("a+b") as lines:
        fcntl.flock(lines, fcntl.LOCK_EX)
        lines.seek(0)
        known = max((one.id for one in read_lines(lines)), default=0)
        new = [line_of(row) for row in rows if row.id > known]
        lines.writelines(msgspec.json.encode(one) + b"\n" for one in new)
    return len(new)


def read_lines(lines: Iterable[bytes]) -> list[Line]:
    """The checkpoints of a file. Raises msgspec.DecodeError for a line that is none."""
    return [msgspec.json.decode(one, type=Line) for one in lines if one.strip()]


def trusted(
    rows: Iterable[CheckpointRow], outside: Iterable[Line], key: bytes | None
) -> tuple[Trusted, list[Finding]]:
    """What checkpoints say of blocks, those kept outside before those of the database; and which
    are not signed as they say. With `key`, only its signatures count."""
    hashes: dict[tuple[Chain, int], tuple[bytes, str]] = {}
    findings: list[Finding] = []
    inside = [("checkpoint", line_of(row), row.at) for row in rows]
    for what, line, at in [*inside, *(("outside checkpoint", one, None) for one in outside)]:
        said = _read(line.document)
        fault = _fault(line, key)
        if fault is None and said is not None and at not in (None, said.at):
            fault = "has another time than what is signed"
        if fault is not None or said is None:
            detail = fault or "is not a checkpoint of this format"
            findings.append(Finding(what, None, str(line.id), detail))
            continue
        for chain in CHAINS:
            if (head := said.chains.get(chain)) is not None and head.block > 0:
                hashes[chain, head.block] = (bytes.fromhex(head.hash), f"{what} {line.id}")
    return Trusted(hashes), findings


def _fault(line: Line, key: bytes | None) -> str | None:
    try:
        public, signature = bytes.fromhex(line.public_key), bytes.fromhex(line.signature)
    except ValueError:
        return "has no signature in hex"
    if key is not None and public != key:
        return "is signed by another key than ours"
    if not is_signed(public, line.document.encode(), signature):
        return "is not signed by the key it names: it was changed"
    return None


def _read(document: str) -> Document | None:
    try:
        read = msgspec.json.decode(document, type=Document)
        for head in read.chains.values():
            bytes.fromhex(head.hash)
    except (msgspec.DecodeError, ValueError):
        return None
    return read if read.format == FORMAT else None
