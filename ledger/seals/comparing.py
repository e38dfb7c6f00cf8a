"""A whole chain compared with its rows as they come, in whatever order that is quickest.

It only says whether they agree: what differs is for `verifying` to name, in the order of commits.
"""

from __future__ import annotations

from collections.abc import AsyncIterator, Sequence
from typing import Final

from ledger.load import Connection
from ledger.seals.canonical import ANSWER, place_in
from ledger.seals.era import NEXT
from ledger.seals.model import Chain, Entry, beginning, entry, place_of
from ledger.seals.tally import Tally, is_keyed
from ledger.seals.verifying import Progress, Trusted, Verified, not_sealed, verify_blocks

_ANSWERS: Final = f"SELECT {ANSWER} FROM ledger.idempotency_keys a"
_PAGE: Final = 500


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
    """All entries of the answers' chain, as they lie."""
    count = 0
    cursor = await connection.cursor(_ANSWERS)
    while rows := await cursor.fetch(_PAGE):
        count += len(rows)
        tell(count)
        yield [entry(place_in("answers", content), content) for (content,) in rows]
