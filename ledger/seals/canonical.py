"""What is sealed of a row, and how it is read back from the bytes that are sealed.

They are what PostgreSQL's `record_send` gives for a row, and depend on no setting of a session,
server or client: the number of columns, then of each its type (4 bytes), its length (4 bytes, -1
for null) and its value, in network order. Of a transaction: its row, in two parts, then its
postings in order.

Columns of one length come first, so that numbers stand where a `struct` finds them; what many rows
have in common comes together, so that it has to be understood once only.
"""

from __future__ import annotations

from struct import Struct
from typing import Final

from ledger.seals.model import KEY_LENGTH, Chain, Place

TRANSACTION_FIELDS: Final = (
    "t.xid, t.customer_id, t.version, t.id, t.operation_id, t.occurred_at, t.recorded_at,"
    " t.available_after, t.promo_after, t.deferred_after, t.held_after, t.debt_after, t.source,"
    " t.author, t.reason"
)
FORM_FIELDS: Final = "t.kind, t.channel, t.store, t.corrects, t.hold_id, t.hold_expires_at"
"""The two parts of a transaction."""

POSTING_FIELDS: Final = (
    "p.customer_id, p.version, p.seq, p.amount, p.lot_id, p.active_from, p.occurred_at,"
    " p.recorded_at, p.expires_at, p.kind, p.debit, p.credit, p.bucket, p.program,"
    " p.program_version, p.channel, p.store, p.product_group"
)
ANSWER_FIELDS: Final = (
    "a.xid, a.key, a.customer_id, a.fingerprint, a.status, a.answer, a.recorded_at"
)
"""What is sealed, in this order. Whoever adds a column to a table leaves these as they are, or
begins a chain of a new name: old digests are of these."""

HEAD: Final = f"record_send(ROW({TRANSACTION_FIELDS}))"
FORM: Final = f"record_send(ROW({FORM_FIELDS}))"
TRANSACTION: Final = f"{HEAD} || {FORM}"
POSTING: Final = f"record_send(ROW({POSTING_FIELDS}))"
ANSWER: Final = f"record_send(ROW({ANSWER_FIELDS}))"
"""Their bytes, in SQL."""

TRANSACTION_HEAD: Final = Struct(">12xq8x16s8xq8x16s24x" + 7 * "8xq")
"""xid, customer, version, id, occurred_at, recorded_at, the five balances after it."""

POSTING_HEAD: Final = Struct(">44x8xi8xq8x16s" + 3 * "8xq" + "4xiq")
"""seq, amount, lot, active_from, occurred_at, recorded_at, and of `expires_at` its length and its
value, which stands there only when the length is `PRESENT`. Times are microseconds since 2000."""

OF_TRANSACTION, OF_POSTING = slice(28, 60), slice(12, 44)
"""Customer and version with what stands between, in the bytes of both: what is the same belongs
together, and it sorts as they do."""

PRESENT: Final = 8
POSTING_REST: Final = (POSTING_HEAD.size - 8, POSTING_HEAD.size)
"""Where the other columns begin, without and with an `expires_at`."""

_COLUMN: Final = Struct(">4xi")


def place_in(chain: Chain, content: bytes) -> Place:
    """The place of a row, which its first columns are."""
    commit = content[12:20]
    if chain == "answers":
        return commit + content[28 : 28 + KEY_LENGTH.unpack_from(content, 24)[0]]
    return commit + content[28:44] + content[52:60]


def values_from(content: bytes, at: int) -> list[bytes | None]:
    """The values of the columns from `at` on. Raises struct.error for what is no row."""
    values: list[bytes | None] = []
    while at < len(content):
        (length,) = _COLUMN.unpack_from(content, at)
        at += _COLUMN.size
        values.append(None if length < 0 else content[at : at + length])
        at += max(length, 0)
    return values
