"""What is sealed of a row: its columns, in this order, as PostgreSQL's binary COPY writes them.

Of each column its length (4 bytes, -1 for null), then its value in network order; so they depend on
no setting of a session, server or client. Of a transaction: its row, then its postings in order.

Columns of one length come first, so that numbers stand where a layout finds them; what many rows
have in common comes together, so that it has to be understood once only.
"""

from __future__ import annotations

from collections.abc import Sequence
from hashlib import sha256
from typing import Final

import numpy as np

from ledger.layout import Columns, Integers, Layout, changes
from ledger.raw import Halves
from ledger.seals.model import JOURNAL_HEAD, KEY_LENGTH, Chain, Entry, Place

TRANSACTION_FIELDS: Final = (
    (
        *("t.xid", "t.customer_id", "t.version", "t.id", "t.operation_id", "t.occurred_at"),
        *("t.recorded_at", "t.available_after", "t.promo_after", "t.deferred_after"),
        *("t.held_after", "t.debt_after", "t.kind", "t.channel", "t.store", "t.corrects"),
        *("t.hold_id", "t.hold_expires_at"),
    ),
    ("t.source", "t.author", "t.reason"),
)
"""In two halves: all numbers are in the first, and what many have in common."""

POSTING_FIELDS: Final = (
    *("p.customer_id", "p.version", "p.seq", "p.amount", "p.lot_id", "p.active_from"),
    *("p.occurred_at", "p.recorded_at", "p.expires_at", "p.kind", "p.debit", "p.credit"),
    *("p.bucket", "p.program", "p.program_version", "p.channel", "p.store", "p.product_group"),
)
ANSWER_FIELDS: Final = (
    *("a.xid", "a.key", "a.customer_id", "a.fingerprint", "a.status", "a.answer", "a.recorded_at"),
)
"""What is sealed, in this order. Whoever adds a column to a table leaves these as they are, or
begins a chain of a new name: old digests are of these."""

COMMIT, CUSTOMER, VERSION = slice(4, 12), slice(16, 32), slice(36, 44)
"""In the bytes of a transaction."""
_OF_TRANSACTION, OF_POSTING = slice(16, 44), slice(4, 32)
"""Where both have their customer and version, with what stands between."""

TRANSACTION_KEY: Final = Layout(("xid", "q"), ("customer", "u"), ("version", "q"))
POSTING_KEY: Final = Layout(("customer", "u"), ("version", "q"), ("seq", "i"))
"""What both begin with."""


def customer_of(head: bytes) -> bytes:
    """Of a transaction, even where the number of its commit is null."""
    return head[CUSTOMER] if head[:1] == b"\0" else head[8:24]


Spans = tuple[Integers, Integers]
"""Where the postings of each transaction begin and end."""


def spans(
    heads: Sequence[bytes], postings: Sequence[bytes], history: Columns, rows: Columns
) -> Spans:
    """Which postings belong to which transaction, by the columns of their keys. Both stand in the
    same order; postings without a transaction are in no span."""
    seq = rows["seq"]
    keys, whose = ((*one.id("customer"), one["version"]) for one in (rows, history))
    first = changes(*keys)
    first[1:] |= seq[1:] <= seq[:-1]
    starts = np.flatnonzero(first)
    if len(starts) == len(heads) and all(
        bool((key[starts] == one).all()) for key, one in zip(keys, whose, strict=True)
    ):
        return starts, np.append(starts[1:], len(seq))[: len(starts)]
    return spans_by_bytes(heads, postings)


def spans_by_bytes(heads: Sequence[bytes], postings: Sequence[bytes]) -> Spans:
    """As `spans`, whatever the rows are."""
    places: dict[bytes, tuple[int, int]] = {}
    for at, row in enumerate(postings):
        key = row[OF_POSTING]
        start, end = places.get(key, (at, at))
        if end == at:
            places[key] = start, at + 1
    found = [places.get(head[_OF_TRANSACTION], (0, 0)) for head in heads]
    both = np.array(found, np.int64).reshape(-1, 2)
    return both[:, 0], both[:, 1]


def journal_entries(transactions: Halves, postings: Sequence[bytes], where: Spans) -> list[Entry]:
    """The rows of the journal's chain, by the bytes of transactions and of their postings."""
    join, starts, ends = b"".join, *(side.tolist() for side in where)
    digests = [
        sha256(join((head, rest, *postings[start:end]))).digest()
        for head, rest, start, end in zip(*transactions, starts, ends, strict=True)
    ]
    return [
        join((JOURNAL_HEAD, head[COMMIT], head[CUSTOMER], head[VERSION], digest))
        for head, digest in zip(transactions[0], digests, strict=True)
    ]


def answer_entries(answers: Sequence[bytes]) -> list[Entry]:
    """The rows of the answers' chain, by their bytes."""
    entries = []
    for row in answers:
        end = 16 + max(int.from_bytes(row[12:16], signed=True), 0)
        length = (end - 8).to_bytes(KEY_LENGTH.size)
        entries.append(b"".join((length, row[COMMIT], row[16:end], sha256(row).digest())))
    return entries


def place_in(chain: Chain, row: bytes) -> Place:
    """The place of a row (of a transaction's first half), which its first columns are."""
    if chain == "answers":
        return row[COMMIT] + row[16 : 16 + KEY_LENGTH.unpack_from(row, 12)[0]]
    return row[COMMIT] + row[CUSTOMER] + row[VERSION]


def values_from(content: bytes, at: int = 0) -> list[bytes | None]:
    """The values of the columns from `at` on. Raises struct.error for what is no row."""
    values: list[bytes | None] = []
    while at < len(content):
        (length,) = KEY_LENGTH.unpack_from(content, at)
        at += KEY_LENGTH.size
        values.append(None if length < 0 else content[at : at + length])
        at += max(length, 0)
    return values
