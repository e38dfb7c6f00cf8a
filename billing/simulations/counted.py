"""What of the programs' limits is used, by what a simulation itself gave."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from datetime import date, datetime, timedelta
from uuid import UUID

from billing.programs.limits import Used, counters_of
from billing.programs.model import Award, ProgramVersion, Situation

_OVER = timedelta(days=2)
"""After so long a day is over in every time zone."""


class Counted:
    """Counters in memory; sales come in the order in which they happened."""

    def __init__(self) -> None:
        self._used: dict[tuple[UUID, str], int] = {}
        self._by_day: dict[date, list[tuple[UUID, str]]] = {}

    @property
    def used(self) -> Used:
        return self._used

    def count(
        self, awards: Sequence[Award], programs: Iterable[ProgramVersion], situation: Situation
    ) -> None:
        given = {award.program: award.points for award in awards}
        for program in programs:
            if program.code not in given:
                continue
            for counter in counters_of(program, situation):
                key = (counter.customer_id, counter.name)
                more = 1 if counter.times else given[program.code]
                if key not in self._used and counter.name.startswith(("day/", "times/")):
                    day = situation.basket.occurred_at.date()
                    self._by_day.setdefault(day, []).append(key)
                self._used[key] = self._used.get(key, 0) + more

    def forget_before(self, moment: datetime) -> None:
        """Drop the counters of days that are over everywhere."""
        day = moment.date() - _OVER
        for past in [one for one in self._by_day if one < day]:
            for key in self._by_day.pop(past):
                self._used.pop(key, None)
