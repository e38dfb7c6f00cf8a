"""When a campaign runs: once, or by a rule and a time of day on the chain's clocks."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import date, datetime, time, timedelta
from zoneinfo import ZoneInfo

import msgspec

from billing.campaigns.rrule import Rule
from billing.campaigns.wallclock import moment_of, wall_of

_MARGIN = timedelta(days=2)
"""No clock is set by as much: walls before it are of earlier moments."""


class Once(msgspec.Struct, frozen=True):
    """`at` None: as soon as it may."""

    at: datetime | None = None

    def first(self, now: datetime) -> datetime:
        """When it runs, asked when it is started."""
        return self.at or now

    def after(self, moment: datetime) -> datetime | None:
        """Its next run later than `moment`, a run of its own."""
        return None

    def runs(self, now: datetime) -> int | None:
        """How many runs there will be; None: nobody knows an end."""
        return 1

    def upcoming(self, now: datetime) -> Iterator[datetime]:
        yield self.first(now)


class Recurring(msgspec.Struct, frozen=True):
    """On the days of `rule`, counted from `begin`, at `at` o'clock in `zone`."""

    rule: Rule
    begin: date
    at: time
    zone: ZoneInfo

    def upcoming(self, now: datetime) -> Iterator[datetime]:
        """The runs later than `now`, in UTC, each once: two wall times may be one moment."""
        start = datetime.combine(self.begin, self.at)
        last = now
        nearly = wall_of(now, self.zone) - _MARGIN
        for wall in self.rule.walls(start, nearly):
            if wall < nearly:
                continue
            moment = moment_of(wall, self.zone)
            if moment > last:
                last = moment
                yield moment

    def first(self, now: datetime) -> datetime | None:
        return self.after(now)

    def after(self, moment: datetime) -> datetime | None:
        return next(self.upcoming(moment), None)

    def runs(self, now: datetime) -> int | None:
        if self.rule.times is None and self.rule.until is None:
            return None
        return sum(1 for _ in self.upcoming(now))


Schedule = Once | Recurring
