"""From which lots a return takes what a sale earned.

First what nobody has used, from all lots of a program alike, so that instalments shrink together;
then what expired unused, which nobody owes; and only then what was spent.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Mapping
from uuid import UUID

import msgspec

from billing.returns.model import Given, spread
from ledger.model import Lot, Posting

Cell = tuple[UUID, str | None]
"""A lot and a product group."""


class Taken(msgspec.Struct, frozen=True):
    """Points of one lot and product group; `lapsed` of them had expired unused."""

    lot: UUID
    group: str | None
    points: int
    lapsed: int = 0


class Lots:
    """What a receipt put into lots, and what of it is still to be taken."""

    def __init__(self, postings: Iterable[Posting], lots: Mapping[UUID, Lot], given: Given) -> None:
        accrued: dict[str | None, Counter[Cell]] = {}
        for posting in postings:
            if posting.kind == "accrue":
                cells = accrued.setdefault(posting.program, Counter())
                cells[posting.lot_id, posting.product_group] += posting.amount
        self._left = {
            program: {cell: amount - given.cells[cell] for cell, amount in cells.items()}
            for program, cells in accrued.items()
        }
        own = {lot for cells in accrued.values() for lot, _ in cells}
        self._unused = {one: lots[one].available + lots[one].deferred for one in own}
        self._lapsed = {one: max(0, lots[one].expired - given.lapsed[one]) for one in own}

    def take(self, program: str | None, group: str, points: int) -> list[Taken]:
        """Take what `program` gave for goods of `group`; other groups only when that runs out."""
        left = self._left.get(program, {})
        groups = sorted({one for _, one in left}, key=lambda one: (one != group, one or ""))
        taken: list[Taken] = []
        for one in groups:
            cells = [cell for cell in left if cell[1] == one]
            for room, lapses in ((self._unused, False), (self._lapsed, True), (None, False)):
                caps = [
                    left[cell] if room is None else min(left[cell], room[cell[0]]) for cell in cells
                ]
                for cell, part in zip(cells, spread(points, caps), strict=True):
                    if not part:
                        continue
                    points -= part
                    left[cell] -= part
                    if room is not None:
                        room[cell[0]] -= part
                    taken.append(Taken(*cell, part, part if lapses else 0))
        if points:
            raise ArithmeticError(f"{points} points of {program} are in no lot of the sale")
        return taken
