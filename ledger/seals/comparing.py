"""A whole chain compared with its rows as they come, in whatever order that is quickest.

It only says whether they agree: what differs is for `verifying` to name, in the order of commits.
"""

from __future__ import annotations

from collections.abc import Sequence

from ledger.load import Connection
from ledger.seals import store
from ledger.seals.era import NEXT
from ledger.seals.model import Chain, Entry, Head, beginning, place_of
from ledger.seals.tally import Tally, is_keyed
from ledger.seals.verifying import Trusted, Verified, not_sealed, verify_blocks


class Comparison:
    """Have it read the `blocks` and `see` all rows of the chain, then ask whether it `agrees`."""

    def __init__(self, head: Head, coming: int) -> None:
        self.seen = Verified(head)
        self._until = head.until
        self._coming = coming
        self._sealed = Tally()
        self._there = self._sealed.other()
        self._rest = Verified(head)

    @classmethod
    async def begin(cls, connection: Connection, chain: Chain) -> Comparison:
        """Runs within a transaction of one snapshot."""
        return cls(await store.head(connection, chain), await connection.fetchval(NEXT))

    async def blocks(self, connection: Connection, trusted: Trusted | None) -> None:
        """Look at the chain itself."""
        start = beginning(self.seen.head.chain)
        self.seen = await verify_blocks(connection, self._sealed, after=start, trusted=trusted)

    def see(self, entries: Sequence[Entry]) -> None:
        places = list(map(place_of, entries))
        if max(places, default=self._until) > self._until:
            both = list(zip(places, entries, strict=True))
            rest = [one for place, one in both if place > self._until]
            not_sealed(rest, self._coming, self._rest)
            entries = [one for place, one in both if place <= self._until]
        self._there.add(entries)

    def agrees(self) -> bool:
        """Whether chain and rows are the same. `seen` is whole then."""
        if not (is_keyed() and self._sealed.agrees(self._there)):
            return False
        self.seen.unsealed += self._rest.unsealed
        self.seen.findings += self._rest.findings
        return True
