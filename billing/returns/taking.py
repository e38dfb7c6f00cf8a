"""From which lots a return takes what a sale earned.

First what nobody has used, from all lots of a program alike, so that instalments shrink together;
then what expired unused, which nobody owes; and only then what was spent.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Mapping
from uuid import UUID

import msgspec

from billing.returns.model import Earned, Given, spread
from ledger.model import Lot, Posting


class Taken(msgspec.Struct, frozen=True):
    """Points of one lot and product group; `lapsed` of them had expired unused."""

    lot: UUID
    group: str | None
    points: int
    lapsed: int = 0


class Taking(msgspec.Struct, frozen=True):
    """What a return takes of a program: by line number, and from which lots."""

    earned: Earned
    by_line: Mapping[int, int]
    lots: tuple[Taken, ...]

    @property
    def points(self) -> int:
        return sum(self.by_line.values())


class Lots:
    """What a receipt put into lots, and what of it is still to be taken."""

    def __init__(self, postings: Iterable[Posting], lots: Mapping[UUID, Lot], given: Given) -> None:
        self._cells: dict[str | None, dict[str | None, Counter[UUID]]] = {}
        for posting in postings:
            if posting.kind == "accrue":
                groups = self._cells.setdefault(posting.program, {})
                cells = groups.setdefault(posting.product_group, Counter())
                cells[posting.lot_id] += posting.amount
        for groups in self._cells.values():
            for group, cells in groups.items():
                for lot in cells:
                    cells[lot] -= given.cells[lot, group]
        own = {lot for groups in self._cells.values() for cells in groups.values() for lot in cells}
        self._unused = {one: lots[one].available + lots[one].deferred for one in own}
        self._lapsed = {one: max(0, lots[one].expired - given.lapsed[one]) for one in own}

    def take(self, earned: Earned, lines: Mapping[int, int], groups: Mapping[int, str]) -> Taking:
        """Take what belongs to `lines` from the lots of their product groups; `groups` by line
        number. From other groups only when that runs out."""
        cells = self._cells.get(earned.program, {})
        sums: Counter[str | None] = Counter()
        for number, points in lines.items():
            sums[groups[number]] += points
        taken: list[Taken] = []
        missing = 0
        for group, points in sums.items():
            found = self._take(group, cells.get(group, Counter()), points)
            missing += points - sum(one.points for one in found)
            taken += found
        for group in cells if missing else ():
            found = self._take(group, cells[group], missing)
            missing -= sum(one.points for one in found)
            taken += found
        if missing:
            raise ArithmeticError(f"{missing} points of {earned.program} are in no lot of the sale")
        return Taking(earned, lines, tuple(taken))

    def _take(self, group: str | None, cells: Counter[UUID], points: int) -> list[Taken]:
        taken: list[Taken] = []
        for room, lapses in ((self._unused, False), (self._lapsed, True), (cells, False)):
            if points == 0:
                break
            caps = [min(left, room[lot]) for lot, left in cells.items()]
            for lot, part in zip(list(cells), spread(points, caps), strict=True):
                if part:
                    points -= part
                    cells[lot] -= part
                    if room is not cells:
                        room[lot] -= part
                    taken.append(Taken(lot, group, part, part if lapses else 0))
        return taken
