"""The rows of each chain in the order of commits, some pages of them at a time.

Sorted by their place, which is the same on every server: no collation of a locale has a part in
it. Both are read by index, so that a stream begins anywhere at once.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Sequence
from types import TracebackType
from typing import Final
from uuid import UUID

from ledger.load import Connection
from ledger.raw import Halves, breathe, raw_halves, raw_rows
from ledger.seals.canonical import (
    ANSWER_FIELDS,
    OF_POSTING,
    POSTING_FIELDS,
    POSTING_KEY,
    TRANSACTION_FIELDS,
    TRANSACTION_KEY,
    Spans,
    answer_entries,
    journal_entries,
    place_in,
    spans,
    spans_by_bytes,
)
from ledger.seals.model import Chain, Entry, Place, commit_of, name_of, place_of

_TRANSACTIONS: Final = """
FROM ledger.transactions t
WHERE t.xid >= $1 AND t.xid <= $4
  AND (t.xid, t.customer_id, t.version) > ($1, $2::uuid, $3::bigint)
  AND t.customer_id IS NOT NULL AND t.version IS NOT NULL
ORDER BY t.xid, t.customer_id, t.version
"""
_POSTINGS: Final = """
FROM (SELECT t.customer_id, t.version {transactions}) AS t
CROSS JOIN LATERAL (
    SELECT * FROM ledger.postings p WHERE p.customer_id = t.customer_id AND p.version = t.version
    ORDER BY p.seq OFFSET 0) AS p
"""
_ANSWERS: Final = """
FROM ledger.idempotency_keys a
WHERE a.xid >= $1 AND a.xid <= $3 AND (a.xid, a.key COLLATE "C") > ($1, $2)
  AND a.key IS NOT NULL
ORDER BY a.xid, a.key COLLATE "C"
"""

BY_INDEX: Final = """
SELECT set_config('jit', 'off', true), set_config(name, 'off', true) FROM unnest(ARRAY[
    'enable_seqscan', 'enable_bitmapscan', 'enable_hashjoin', 'enable_mergejoin', 'enable_memoize'])
AS name
"""
"""For a transaction that streams: left alone, the planner would sort all that is there."""

AS_USUAL: Final = BY_INDEX.replace("name, 'off'", "name, 'on'")
"""For what else is read in the same transaction."""

_OF_CUSTOMER: Final = "FROM ledger.{} WHERE customer_id = $1 ORDER BY customer_id, version"

_PAGE: Final = 4000
"""Rows read at a time."""
_FIRST, _BYTES = 250, 8_000_000
"""Answers have no bound of their own: so many are read first, then as many as come to that."""
_MOST: Final = 100_000
"""Postings read at a time, but for those of one transaction."""
_AT_ONCE: Final = 200
"""Digests taken between two looks at what the server sent."""

_NOBODY: Final = str(UUID(int=0))

Rows = tuple[Halves, list[bytes]]
"""Transactions and their postings; or answers, in the place of the transactions' first halves."""


class Stream:
    """Entries of a chain after a place, up to and including a commit. Read within a transaction.

    With `ahead` the server reads the next page while digests are taken of this one; the connection
    is the stream's own then, until it is left as a context.
    """

    def __init__(
        self,
        connection: Connection,
        chain: Chain,
        after: Place,
        until: int,
        *,
        ahead: bool = False,
        page: int = _PAGE,
    ) -> None:
        self._connection = connection
        self._chain: Chain = chain
        self._after = after
        self._until = until
        self._page = page
        self._answers = min(page, _FIRST)
        self._read_ahead = ahead
        self._coming: asyncio.Future[Rows] | None = None
        self._begun = False
        self._entries: list[Entry] = []

    async def __aenter__(self) -> Stream:
        return self

    async def __aexit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        if self._coming is not None:
            if kind is not None:
                self._coming.cancel()
            await asyncio.gather(self._coming, return_exceptions=True)

    async def take(self, count: int) -> list[Entry]:
        """The next `count` entries; fewer at the end."""
        while len(self._entries) < count:
            more = await self._read()
            if not more:
                break
            self._entries += more
        taken, self._entries = self._entries[:count], self._entries[count:]
        return taken

    async def take_packed(self, packed: bytes) -> list[Entry]:
        """The next entries when together they are `packed`; otherwise none, and nothing is
        taken."""
        size = count = 0
        while size < len(packed):
            if count == len(self._entries):
                more = await self._read()
                if not more:
                    return []
                self._entries += more
            size += len(self._entries[count])
            count += 1
        taken = self._entries[:count]
        if b"".join(taken) != packed:
            return []
        self._entries = self._entries[count:]
        return taken

    def put_back(self, entries: Sequence[Entry]) -> None:
        """Entries that were taken too early."""
        self._entries = [*entries, *self._entries]

    async def take_until(self, place: Place) -> list[Entry]:
        """All entries up to and including `place`."""
        taken: list[Entry] = []
        while entries := await self.take(500):
            taken += [one for one in entries if place_of(one) <= place]
            later = [one for one in entries if place_of(one) > place]
            if later:
                self.put_back(later)
                break
        return taken

    async def chunks(self, count: int) -> AsyncIterator[list[Entry]]:
        """All entries, `count` at a time."""
        while entries := await self.take(count):
            yield entries

    async def _read(self) -> list[Entry]:
        if not self._begun:
            await self._connection.execute(BY_INDEX)
            self._begun = True
        rows = await (self._coming or self._fetch())
        self._coming = None
        if self._read_ahead and rows[0][0]:
            self._coming = asyncio.ensure_future(self._fetch())
        return await entries_of(self._chain, rows)

    async def _fetch(self) -> Rows:
        """The next page. It begins after the last one, whether that has become entries or not."""
        arguments = arguments_of(self._chain, self._after, self._until)
        if self._chain == "answers":
            source = f"{_ANSWERS} LIMIT {self._answers}"
            answers = await raw_rows(self._connection, ANSWER_FIELDS, source, *arguments)
            as_many = self._answers * _BYTES // max(sum(map(len, answers)), 1)
            self._answers = max(1, min(as_many, 2 * self._answers, self._page))
            rows: Rows = (answers, []), []
        else:
            rows = await self._fetch_journal(arguments)
        if rows[0][0]:
            self._after = place_in(self._chain, rows[0][0][-1])
        return rows

    async def _fetch_journal(self, arguments: Sequence[object]) -> Rows:
        source = f"{_TRANSACTIONS} LIMIT {self._page}"
        heads, rests = await raw_halves(self._connection, TRANSACTION_FIELDS, source, *arguments)
        count = len(heads)
        while count:
            postings = _POSTINGS.format(transactions=f"{_TRANSACTIONS} LIMIT {count}")
            if count > 1:
                postings += f"LIMIT {_MOST + 1}"
            found = await raw_rows(self._connection, POSTING_FIELDS, postings, *arguments)
            if count == 1 or len(found) <= _MOST:
                return (heads[:count], rests[:count]), found
            # As many as these are of, but the last one, which may be cut off.
            count = max(1, min(count - 1, len({row[OF_POSTING] for row in found}) - 1))
        return ([], []), []


async def customer_entries(connection: Connection, customer_id: UUID) -> list[Entry]:
    """The transactions of one customer, as the journal's chain has them."""
    source = _OF_CUSTOMER.format("transactions t")
    transactions = await raw_halves(connection, TRANSACTION_FIELDS, source, customer_id)
    source = _OF_CUSTOMER.format("postings p") + ", seq"
    postings = await raw_rows(connection, POSTING_FIELDS, source, customer_id)
    return await entries_of("journal", (transactions, postings))


async def entries_of(chain: Chain, rows: Rows) -> list[Entry]:
    """The entries of a page."""
    (heads, rests), postings = rows
    if chain == "journal":
        try:
            keys = TRANSACTION_KEY.read(heads), POSTING_KEY.read(postings)
            where = spans(heads, postings, *keys)
        except ValueError:
            where = spans_by_bytes(heads, postings)
        return await journal_page((heads, rests), postings, where)
    entries: list[Entry] = []
    for at in range(0, len(heads), _AT_ONCE):
        entries += answer_entries(heads[at : at + _AT_ONCE])
        await breathe()
    return entries


async def journal_page(
    transactions: Halves, postings: Sequence[bytes], where: Spans
) -> list[Entry]:
    """The entries of transactions, while servers go on sending."""
    heads, rests = transactions
    starts, ends = where
    entries: list[Entry] = []
    for at in range(0, len(heads), _AT_ONCE):
        some = slice(at, at + _AT_ONCE)
        page = heads[some], rests[some]
        entries += journal_entries(page, postings, (starts[some], ends[some]))
        await breathe()
    return entries


def arguments_of(chain: Chain, after: Place, until: int) -> tuple[object, ...]:
    """Of the query of a chain: the rows after a place, up to and including a commit."""
    commit, name = commit_of(after), name_of(chain, after)
    if chain == "answers":
        return commit, name, until
    customer, _, version = name.partition("/")
    return commit, customer or _NOBODY, int(version or 0), until
