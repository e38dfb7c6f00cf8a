"""Chain and rows as lines of JSON, for a verifier that is not ours.

One line each: the format; of a chain, every block and then the rows that stand up to its place,
sealed by it or not; checkpoints. A block's `entries` are its bytes in hex. Columns have the order
of `canonical`; times are in UTC, bytes in hex, 64-bit integers plain. `deploy/verify_chain.py`
reads it and shares no code with us.
"""

from __future__ import annotations

from collections.abc import AsyncIterator, Callable
from typing import Any, Final

import msgspec

from ledger.load import Connection
from ledger.seals import store
from ledger.seals.canonical import ANSWER_FIELDS, POSTING_FIELDS, TRANSACTION_FIELDS
from ledger.seals.model import (
    BEGINNING,
    CHAINS,
    Block,
    Chain,
    Place,
    commit_of,
    key_named,
    microseconds,
)
from ledger.seals.model import place as place_at
from ledger.seals.streams import BY_INDEX, arguments_of

FORMAT: Final = "bonus-ledger-chain/3"

_TRANSACTION, _POSTING, _ANSWER = (
    ", ".join(fields)
    for fields in ((*TRANSACTION_FIELDS[0], *TRANSACTION_FIELDS[1]), POSTING_FIELDS, ANSWER_FIELDS)
)

_JOURNAL = f"""
SELECT t.xid, t.customer_id::text || '/' || t.version AS name,
       json_build_array({_TRANSACTION})::text, coalesce(p.postings, '[]')
FROM (
    SELECT * FROM ledger.transactions t
    WHERE (t.xid, t.customer_id, t.version) > ($1, $2::uuid, $3::bigint) AND t.xid <= $4
      AND t.xid >= $1 AND t.customer_id IS NOT NULL AND t.version IS NOT NULL
    ORDER BY t.xid, t.customer_id, t.version OFFSET 0) AS t
LEFT JOIN LATERAL (
    SELECT json_agg(json_build_array({_POSTING}) ORDER BY p.seq)::text AS postings
    FROM ledger.postings p WHERE p.customer_id = t.customer_id AND p.version = t.version
) AS p ON true
"""
_ANSWERS = f"""
SELECT a.xid, a.key AS name, json_build_array({_ANSWER})::text, '[]'
FROM ledger.idempotency_keys a
WHERE a.xid >= $1 AND a.xid <= $3 AND (a.xid, a.key COLLATE "C") > ($1, $2)
  AND a.key IS NOT NULL
ORDER BY a.xid, a.key COLLATE "C"
"""
_PAGE: Final = 1000

Line = dict[str, Any]


async def export(
    connection: Connection, tell: Callable[[str, int], None] = lambda chain, rows: None
) -> AsyncIterator[bytes]:
    """The lines, each with its end. Reads one snapshot; `tell` hears how many rows are out."""
    async with connection.transaction(isolation="repeatable_read", readonly=True):
        await connection.execute(BY_INDEX)
        await connection.execute("SET LOCAL timezone = 'UTC'; SET LOCAL bytea_output = 'hex'")
        yield _line({"format": FORMAT})
        for chain in CHAINS:
            rows = 0
            place: Place = BEGINNING
            async for block in store.blocks(connection, chain, 0):
                yield _line(_block(block))
                async for line in _rows(connection, chain, place, block.until):
                    yield _line(line)
                    rows += 1
                place = max(place, block.until)
                tell(chain, rows)
        for one in await store.checkpoints(connection):
            signed = {"signature": one.signature.hex(), "public_key": one.public_key.hex()}
            yield _line({"checkpoint": one.id, "document": one.document, **signed})


async def _rows(
    connection: Connection, chain: Chain, after: Place, until: Place
) -> AsyncIterator[Line]:
    """The rows after a place, up to and including another."""
    query = _JOURNAL if chain == "journal" else _ANSWERS
    arguments = arguments_of(chain, after, commit_of(until))
    cursor = await connection.cursor(query, *arguments)
    while found := await cursor.fetch(_PAGE):
        for commit, name, fields, postings in found:
            if place_at(commit, key_named(chain, name)) > until:
                return
            line: Line = {"chain": chain, "fields": msgspec.Raw(fields.encode())}
            if chain == "journal":
                line["postings"] = msgspec.Raw(postings.encode())
            yield line


def _block(block: Block) -> Line:
    return {
        "chain": block.chain,
        "block": block.number,
        "previous": block.previous.hex(),
        "hash": block.hash.hex(),
        "sealed_at_us": microseconds(block.sealed_at),
        "entries": block.entries.hex(),
    }


def _line(value: Line) -> bytes:
    return msgspec.json.encode(value) + b"\n"
