"""The rows of each chain in the order of commits, as a cursor gives them.

Sorted by their place, which is the same on every server: no collation of a locale has a part in
it. Both are read by index, so that a stream begins anywhere at once.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Sequence
from types import TracebackType
from typing import Any, Final
from uuid import UUID

from ledger.load import Connection
from ledger.seals.canonical import ANSWER, POSTING, TRANSACTION, place_in
from ledger.seals.model import Chain, Entry, Place, commit_of, entry, key_of, place_of

_JOURNAL: Final = f"""
SELECT {TRANSACTION} || coalesce((
    SELECT string_agg({POSTING}, ''::bytea ORDER BY p.seq)
    FROM ledger.postings p WHERE p.customer_id = t.customer_id AND p.version = t.version
), '') AS content
FROM ledger.transactions t
WHERE t.xid >= $1 AND t.xid <= $4
  AND (t.xid, t.customer_id, t.version) > ($1, $2::uuid, $3::bigint)
ORDER BY t.xid, t.customer_id, t.version
"""

_ANSWERS: Final = f"""
SELECT {ANSWER} AS content
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
SELECT {TRANSACTION} || coalesce((
    SELECT string_agg({POSTING}, ''::bytea ORDER BY p.seq)
    FROM ledger.postings p WHERE p.customer_id = t.customer_id AND p.version = t.version
), '') AS content
FROM ledger.transactions t WHERE t.customer_id = $1 ORDER BY t.version
"""

_NOBODY: Final = UUID(int=0)


class Stream:
    """Entries of a chain after a place, up to and including a commit. Read within a transaction.

    A stream of pages `ahead` has the server read the next one while digests are taken of this one;
    the connection is its own then, until it is left as a context.
    """

    def __init__(
        self,
        connection: Connection,
        chain: Chain,
        after: Place,
        until: int,
        *,
        ahead: int | None = None,
    ) -> None:
        self._connection = connection
        self._page = ahead
        self._coming: asyncio.Future[list[Any]] | None = None
        self._chain: Chain = chain
        self._query, self._arguments = asked(chain, after, until)
        self._cursor: Any = None
        self._ahead: list[Entry] = []

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
        while len(self._ahead) < count:
            more = await self._read(count - len(self._ahead))
            if not more:
                break
            self._ahead += more
        taken, self._ahead = self._ahead[:count], self._ahead[count:]
        return taken

    def put_back(self, entries: Sequence[Entry]) -> None:
        """Entries that were taken too early."""
        self._ahead = [*entries, *self._ahead]

    async def take_until(self, place: Place) -> list[Entry]:
        """All entries up to and including `place`."""
        taken: list[Entry] = []
        while entries := await self.take(500):
            within = [one for one in entries if place_of(one) <= place]
            taken += within
            if len(within) < len(entries):
                self.put_back(entries[len(within) :])
                break
        return taken

    async def chunks(self, count: int) -> AsyncIterator[list[Entry]]:
        """All entries, `count` at a time."""
        while entries := await self.take(count):
            yield entries

    async def _read(self, count: int) -> list[Entry]:
        if self._cursor is None:
            await self._connection.execute(BY_INDEX)
            self._cursor = await self._connection.cursor(self._query, *self._arguments)
        if self._page is None:
            return _entries(self._chain, await self._cursor.fetch(count))
        found = await (self._coming or self._ask())
        self._coming = self._ask() if found else None
        # The loop hears of the request in its first turn, and sends it by the end of that.
        await asyncio.sleep(0)
        await asyncio.sleep(0)
        return _entries(self._chain, found)

    def _ask(self) -> asyncio.Future[list[Any]]:
        coming: asyncio.Future[list[Any]] = asyncio.ensure_future(self._cursor.fetch(self._page))
        return coming


async def customer_entries(connection: Connection, customer_id: UUID) -> list[Entry]:
    """The transactions of one customer, as the journal's chain has them."""
    return _entries("journal", await connection.fetch(_OF_CUSTOMER, customer_id))


def _entries(chain: Chain, found: Sequence[Any]) -> list[Entry]:
    return [entry(place_in(chain, content), content) for (content,) in found]


def asked(
    chain: Chain, after: Place, until: int, journal: str = _JOURNAL, answers: str = _ANSWERS
) -> tuple[str, tuple[object, ...]]:
    """The query of a chain, one of the two, and its arguments."""
    commit, key = commit_of(after), key_of(after)
    if chain == "answers":
        return answers, (commit, key.decode(), until)
    customer, version = (UUID(bytes=key[:16]), key[16:]) if key else (_NOBODY, b"")
    return journal, (commit, customer, int.from_bytes(version), until)
