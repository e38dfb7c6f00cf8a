"""Adding up a simulation, receipt by receipt."""

from __future__ import annotations

import heapq
from collections.abc import Mapping
from uuid import UUID

from billing.simulations.model import Cost, Example, Points, Sides

MAX_EXAMPLES = 10
_LOW_64 = (1 << 64) - 1

Place = tuple[str, str | None]
"""Channel and store."""


class Differences:
    """What each customer would have got more or less, by place.

    A million customers must fit: the key is one number made of the place's and of the random half
    of the customer's id.
    """

    def __init__(self) -> None:
        self._places: dict[Place, int] = {}
        self._sums: dict[int, int] = {}

    def add(self, place: Place, customer_id: UUID, difference: int) -> None:
        number = self._places.setdefault(place, len(self._places))
        key = number << 64 | customer_id.int & _LOW_64
        self._sums[key] = self._sums.get(key, 0) + difference

    def overall(self) -> tuple[int, Sides]:
        """How many customers there are, and over all places who wins and who loses."""
        sums = self._of(set(self._places.values()))
        return len(sums), Sides.of(sums.values())

    def by_channel(self) -> dict[str, Sides]:
        return self._by({place: place[0] for place in self._places})

    def by_store_group(self, groups: Mapping[Place, str]) -> dict[str, Sides]:
        """`groups` of the places that are in one."""
        return self._by(groups)

    def by_store(self) -> dict[str, Sides]:
        found = [Sides() for _ in self._places]
        for key, difference in self._sums.items():
            found[key >> 64].add(difference)
        return {store: found[n] for (_, store), n in self._places.items() if store is not None}

    def _by(self, codes: Mapping[Place, str]) -> dict[str, Sides]:
        numbers: dict[str, set[int]] = {}
        for place, code in codes.items():
            numbers.setdefault(code, set()).add(self._places[place])
        return {code: Sides.of(self._of(these).values()) for code, these in numbers.items()}

    def _of(self, places: set[int]) -> dict[int, int]:
        sums: dict[int, int] = {}
        for key, difference in self._sums.items():
            if key >> 64 in places:
                customer = key & _LOW_64
                sums[customer] = sums.get(customer, 0) + difference
        return sums


class Extremes:
    """The receipts whose difference is the largest, in one direction (`sign` 1 or -1).

    Of equals the earlier stays, so that the same simulation gives the same examples.
    """

    def __init__(self, sign: int) -> None:
        self._sign = sign
        self._heap: list[tuple[int, int, Example]] = []
        self._seen = 0

    def takes(self, difference: int) -> bool:
        """Whether a receipt with that difference would be among them."""
        size = difference * self._sign
        return size > 0 and (len(self._heap) < MAX_EXAMPLES or size > self._heap[0][0])

    def add(self, example: Example) -> None:
        self._seen += 1
        entry = (example.all_programs.difference * self._sign, -self._seen, example)
        if len(self._heap) < MAX_EXAMPLES:
            heapq.heappush(self._heap, entry)
        else:
            heapq.heappushpop(self._heap, entry)

    def found(self) -> list[Example]:
        """The largest first."""
        return [example for _, _, example in sorted(self._heap, key=lambda e: (-e[0], -e[1]))]


class Tally:
    """Everything a simulation adds up, receipt by receipt."""

    def __init__(self) -> None:
        self.lines = 0
        self.total = Cost()
        self.by_channel: dict[str, Cost] = {}
        self.by_store: dict[str, Cost] = {}
        self.by_store_group: dict[str, Cost] = {}
        self.by_product_group: dict[str, Cost] = {}
        self.differences = Differences()
        self.store_groups: dict[Place, str] = {}
        self.gains = Extremes(1)
        self.losses = Extremes(-1)

    def add_receipt(
        self,
        place: Place,
        store_group: str | None,
        customer_id: UUID,
        program: Points,
        all_programs: Points,
    ) -> None:
        channel, store = place
        self.total.add(program, all_programs)
        _cost(self.by_channel, channel).add(program, all_programs)
        if store is not None:
            _cost(self.by_store, store).add(program, all_programs)
        if store_group is not None:
            _cost(self.by_store_group, store_group).add(program, all_programs)
            self.store_groups[place] = store_group
        self.differences.add(place, customer_id, all_programs.difference)

    def add_group(self, group: str, program: Points, all_programs: Points) -> None:
        """The lines of one product group on one receipt."""
        _cost(self.by_product_group, group).add(program, all_programs)


def _cost(costs: dict[str, Cost], code: str) -> Cost:
    found = costs.get(code)
    if found is None:
        found = costs[code] = Cost()
    return found
