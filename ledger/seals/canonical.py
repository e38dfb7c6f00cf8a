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

from ledger.layout import Integers
from ledger.raw import Halves
from ledger.seals.model import JOURNAL_HEAD, KEY_LENGTH, Chain, Entry, Place, entry

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
_OF_TRANSACTION, _OF_POSTING = slice(16, 44), slice(4, 32)
"""Where both have their customer and version, with what stands between."""
_SEQ: Final = slice(36, 40)
_KEY, _NUMBER = np.dtype("S28"), np.dtype(">i4")


def spans(transactions: Sequence[Halves], postings: Sequence[bytes]) -> tuple[Integers, Integers]:
    """Where the postings of each transaction begin and end. Both stand in the same order; postings
    without a transaction are in no span."""
    if not transactions or not postings:
        nothing = np.zeros(len(transactions), np.int64)
        return nothing, nothing
    whose = np.frombuffer(b"".join([head[_OF_TRANSACTION] for head, _ in transactions]), _KEY)
    keys = np.frombuffer(b"".join([row[_OF_POSTING] for row in postings]), _KEY)
    seq = np.frombuffer(b"".join([row[_SEQ] for row in postings]), _NUMBER)
    first = np.ones(len(keys), bool)
    first[1:] = (keys[1:] != keys[:-1]) | (seq[1:] <= seq[:-1])
    starts = np.flatnonzero(first)
    ends = np.append(starts[1:], len(keys))[: len(starts)]
    if len(starts) == len(whose) and bool((keys[starts] == whose).all()):
        return starts, ends
    groups = zip(starts.tolist(), ends.tolist(), strict=True)
    places = {postings[start][_OF_POSTING]: (start, end) for start, end in groups}
    found = [places.get(head[_OF_TRANSACTION], (0, 0)) for head, _ in transactions]
    both = np.array(found, np.int64).reshape(-1, 2)
    return both[:, 0], both[:, 1]


def journal_entries(
    transactions: Sequence[Halves], postings: Sequence[bytes], spans: tuple[Integers, Integers]
) -> list[Entry]:
    """The rows of the journal's chain, by the bytes of transactions and of their postings."""
    starts, ends = (side.tolist() for side in spans)
    return [
        b"".join((
            *(JOURNAL_HEAD, head[COMMIT], head[CUSTOMER], head[VERSION]),
            sha256(b"".join((head, rest, *postings[start:end]))).digest(),
        ))
        for (head, rest), start, end in zip(transactions, starts, ends, strict=True)
    ]  # fmt: skip


def answer_entries(answers: Sequence[bytes]) -> list[Entry]:
    """The rows of the answers' chain, by their bytes."""
    return [entry(place_in("answers", row), row) for row in answers]


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
