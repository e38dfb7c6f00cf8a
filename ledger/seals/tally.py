"""Whether two lists hold the same entries, each in an order of its own and neither of them kept.

A list becomes two numbers: the sums of a keyed hash of its entries, and of its entries with a
random prefix. The hash is Python's own of bytes, SipHash, which is keyed anew in every process, so
whoever touched the ledger before the audit began could not aim at it: lists that differ come to
the same 128 bits by accident only.
"""

from __future__ import annotations

import os
import sys
from collections.abc import Sequence
from secrets import token_bytes

from ledger.seals.model import Entry


def is_keyed() -> bool:
    """Whether nobody can know the hashes of this process: `PYTHONHASHSEED` would name the key."""
    seed = os.environ.get("PYTHONHASHSEED") or "random"
    return seed == "random" and sys.hash_info.algorithm.startswith("siphash")


class Tally:
    """One list of entries."""

    def __init__(self, prefix: bytes | None = None) -> None:
        self._prefix = prefix or token_bytes(16)
        self._sums = (0, 0)
        self.count = 0

    def other(self) -> Tally:
        """A list to compare this one with."""
        return Tally(self._prefix)

    def add(self, entries: Sequence[Entry]) -> None:
        one, two = self._sums
        self.count += len(entries)
        self._sums = (
            one + sum(map(hash, entries)),
            two + sum(map(hash, map(self._prefix.__add__, entries))),
        )

    def agrees(self, other: Tally) -> bool:
        return (self.count, self._sums) == (other.count, other._sums)
