"""The rows of each chain in the order of commits, as a cursor gives them.

Sorted by the number of their commit, then by key, which is the same on every server: no collation
of a locale has a part in it. Both are read by index, so that a stream begins anywhere at once.
"""

from __future__ import annotations

from collections.abc import AsyncIterator, Sequence
from hashlib import sha256
from typing import Any, Final
from uuid import UUID

from ledger.load import Connection
from ledger.seals.model import VERSION_DIGITS, Chain, Place, Row, place_of

TRANSACTION_FIELDS: Final = (
    "t.xid, t.customer_id, t.version, t.id, t.operation_id, t.kind, t.occurred_at, t.recorded_at,"
    " t.available_after, t.promo_after, t.deferred_after, t.held_after, t.debt_after, t.corrects,"
    " t.hold_id, t.hold_expires_at, t.source, t.channel, t.store, t.author, t.reason"
)
POSTING_FIELDS: Final = (
    "p.seq, p.kind, p.debit, p.credit, p.amount, p.lot_id, p.bucket, p.active_from, p.expires_at,"
    " p.program, p.program_version, p.channel, p.store, p.product_group, p.occurred_at,"
    " p.recorded_at"
)
ANSWER_FIELDS: Final = (
    "a.xid, a.key, a.customer_id, a.fingerprint, a.status, a.answer, a.recorded_at"
)
"""What is sealed, in this order. Whoever adds a column to a table leaves these as they are, or
begins a chain of a new name: old digests are of these."""

_JOURNAL: Final = f"""
SELECT t.xid, t.customer_id::text || '/' || t.version AS name,
       record_send(ROW({TRANSACTION_FIELDS})) || coalesce(p.postings, '') AS content
FROM (
    SELECT * FROM ledger.transactions t
    WHERE t.xid >= $1 AND t.xid <= $4
      AND (t.xid, t.customer_id, t.version) > ($1, $2::uuid, $3::bigint)
    ORDER BY t.xid, t.customer_id, t.version OFFSET 0) AS t
LEFT JOIN LATERAL (
    SELECT string_agg(record_send(ROW({POSTING_FIELDS})), ''::bytea ORDER BY p.seq) AS postings
    FROM ledger.postings p WHERE p.customer_id = t.customer_id AND p.version = t.version
) AS p ON true
"""

_ANSWERS: Final = f"""
SELECT a.xid, a.key AS name, record_send(ROW({ANSWER_FIELDS})) AS content
FROM ledger.idempotency_keys a
WHERE a.xid >= $1 AND a.xid <= $3 AND (a.xid, a.key COLLATE "C") > ($1, $2)
ORDER BY a.xid, a.key COLLATE "C"
"""

BY_INDEX: Final = """
SELECT set_config(name, 'off', true) FROM unnest(ARRAY[
    'enable_seqscan', 'enable_bitmapscan', 'enable_hashjoin', 'enable_mergejoin', 'jit']) AS name
"""
"""For a transaction that streams: left alone, the planner would sort all that is there."""

AS_USUAL: Final = BY_INDEX.replace("'off'", "'on'").replace(", 'jit'", "")
"""For what follows in the same transaction."""

_OF_CUSTOMER: Final = f"""
SELECT t.xid, t.customer_id::text || '/' || t.version AS name,
       record_send(ROW({TRANSACTION_FIELDS})) || coalesce((
           SELECT string_agg(record_send(ROW({POSTING_FIELDS})), ''::bytea ORDER BY p.seq)
           FROM ledger.postings p WHERE p.customer_id = t.customer_id AND p.version = t.version
       ), '') AS content
FROM ledger.transactions t WHERE t.customer_id = $1 ORDER BY t.version
"""

_NOBODY = "00000000-0000-0000-0000-000000000000"


class Stream:
    """Rows of a chain after a place, up to and including a commit. Read within a transaction."""

    def __init__(self, connection: Connection, chain: Chain, after: Place, until: int) -> None:
        self._connection = connection
        self._chain = chain
        self._query, self._arguments = asked(chain, after, until)
        self._cursor: object = None
        self._ahead: list[Row] = []

    async def take(self, count: int) -> list[Row]:
        """The next `count` rows; fewer at the end."""
        while len(self._ahead) < count:
            more = await self._read(count - len(self._ahead))
            if not more:
                break
            self._ahead += more
        taken, self._ahead = self._ahead[:count], self._ahead[count:]
        return taken

    def put_back(self, rows: Sequence[Row]) -> None:
        """Rows that were taken too early."""
        self._ahead = [*rows, *self._ahead]

    async def take_until(self, place: Place) -> list[Row]:
        """All rows up to and including `place`."""
        taken: list[Row] = []
        while rows := await self.take(500):
            within = [row for row in rows if place_of(self._chain, row) <= place]
            taken += within
            if len(within) < len(rows):
                self.put_back(rows[len(within) :])
                break
        return taken

    async def chunks(self, count: int) -> AsyncIterator[list[Row]]:
        """All rows, `count` at a time."""
        while rows := await self.take(count):
            yield rows

    async def _read(self, count: int) -> list[Row]:
        if self._cursor is None:
            await self._connection.execute(BY_INDEX)
            self._cursor = await self._connection.cursor(self._query, *self._arguments)
        return _rows(await self._cursor.fetch(count))  # type: ignore[attr-defined]


async def customer_rows(connection: Connection, customer_id: UUID) -> list[Row]:
    """The transactions of one customer, as the journal's chain has them."""
    return _rows(await connection.fetch(_OF_CUSTOMER, customer_id))


def _rows(found: Sequence[Any]) -> list[Row]:
    return [Row(commit, name, sha256(content).digest()) for commit, name, content in found]


def asked(
    chain: Chain, after: Place, until: int, journal: str = _JOURNAL, answers: str = _ANSWERS
) -> tuple[str, tuple[object, ...]]:
    """The query of a chain, one of the two, and its arguments."""
    commit, key = after
    if chain == "answers":
        return answers, (commit, key, until)
    customer, version = (key[:-VERSION_DIGITS], key[-VERSION_DIGITS:]) if key else (_NOBODY, "0")
    return journal, (commit, customer, int(version), until)
