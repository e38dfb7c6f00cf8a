"""To which lots a return gives back what points paid of the goods."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable
from uuid import UUID

from ledger.model import Posting

Part = tuple[UUID, str | None, int]
"""Points of a lot and a product group."""


class Spent:
    """What points paid, by lot and product group, less what returns gave back before."""

    def __init__(self, redeemed: Iterable[Posting], corrections: Iterable[Posting]) -> None:
        self._left: Counter[tuple[UUID, str | None]] = Counter()
        for posting in redeemed:
            if posting.credit == "redeemed":
                self._left[posting.lot_id, posting.product_group] += posting.amount
        for posting in corrections:
            if posting.kind == "restore":
                self._left[posting.lot_id, posting.product_group] -= posting.amount

    def give(self, group: str, points: int) -> list[Part]:
        """Where `points` paid for goods of `group` go: last taken, first returned; to lots of
        other groups only when that runs out."""
        cells = list(reversed(self._left))
        cells.sort(key=lambda cell: cell[1] != group)
        parts: list[Part] = []
        for cell in cells:
            part = min(points, self._left[cell])
            if part > 0:
                points -= part
                self._left[cell] -= part
                parts.append((*cell, part))
        if points:
            raise ArithmeticError(f"{points} points were paid from no lot")
        return parts
