"""A whole chain compared with its rows as they come, in whatever order that is quickest.

It only says whether they agree: what differs is for `verifying` to name, in the order of commits.
"""

from __future__ import annotations

from collections.abc import AsyncIterator, Sequence
from typing import Final

from ledger.load import Connection
from ledger.raw import raw_rows
from ledger.seals.canonical import ANSWER_FIELDS
from ledger.seals.era import NEXT
from ledger.seals.model import Chain, Entry, beginning, place_of
from ledger.seals.streams import entries_of
from ledger.seals.tally import Tally, is_keyed
from ledger.seals.verifying import Progress, Trusted, Verified, not_sealed, verify_blocks

_ANSWERS: Final = """
FROM ledger.idempotency_keys a WHERE a.ctid >= $1::text::tid AND a.ctid < $2::text::tid
"""
_BLOCKS: Final = """
SELECT pg_relation_size('ledger.idempotency_keys') / current_setting('block_size')::bigint
"""
_AT_A_TIME: Final = 256


class Comparison:
    """`see` all rows of the chain, then ask whether it `agrees`."""

    def __init__(self, seen: Verified, sealed: Tally, coming: int) -> None:
        self.seen = seen
        self._sealed = sealed
        self._there = sealed.other()
        self._coming = coming

    @classmethod
    async def begin(
        cls, connection: Connection, chain: Chain, trusted: Trusted | None
    ) -> Comparison:
        """Look at the chain itself. Runs within a transaction of one snapshot."""
        sealed = Tally()
        seen = await verify_blocks(
            connection, chain, sealed, after=beginning(chain), trusted=trusted
        )
        return cls(seen, sealed, await connection.fetchval(NEXT))

    def see(self, entries: Sequence[Entry]) -> None:
        until, chain = self.seen.head.until, self.seen.head.chain
        rest = [one for one in entries if place_of(one) > until]
        if rest:
            not_sealed(chain, rest, self._coming, self.seen)
            entries = [one for one in entries if place_of(one) <= until]
        self._there.add(entries)

    def agrees(self) -> bool:
        return is_keyed() and self._sealed.agrees(self._there)


async def kept_answers(connection: Connection, tell: Progress) -> AsyncIterator[list[Entry]]:
    """All entries of the answers' chain, as they lie: some blocks of the table at a time."""
    count = 0
    blocks: int = await connection.fetchval(_BLOCKS)
    for block in range(0, blocks, _AT_A_TIME):
        tids = (f"({block},0)", f"({block + _AT_A_TIME},0)")
        rows = await raw_rows(connection, ANSWER_FIELDS, _ANSWERS, *tids)
        count += len(rows)
        tell(count)
        yield await entries_of("answers", ([(row, b"") for row in rows], []))
