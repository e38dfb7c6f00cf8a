"""When points begin and cease to be: ISO 8601 periods in the time zone of the store.

Periods of whole days, weeks, months and years count local calendar days and begin and end at
midnight; a period with hours counts exactly. A customer never gets less than the period says.
"""

from __future__ import annotations

import re
from datetime import UTC, date, datetime, time, timedelta
from functools import lru_cache
from typing import NamedTuple
from zoneinfo import ZoneInfo

from dateutil.relativedelta import relativedelta

from billing.programs.model import Availability, Expiry, RoundUpTo

_PERIOD = re.compile(
    r"P(?:(\d{1,3})Y)?(?:(\d{1,4})M)?(?:(\d{1,4})W)?(?:(\d{1,5})D)?"
    r"(?:T(?:(\d{1,5})H)?(?:(\d{1,6})M)?)?",
    re.ASCII,
)
_MONTHS: dict[RoundUpTo, int] = {"month": 1, "quarter": 3, "half_year": 6, "year": 12}


class Period(NamedTuple):
    """Calendar months and days, then exact minutes."""

    months: int
    days: int
    minutes: int

    def times(self, number: int) -> Period:
        """So many of it."""
        return Period(self.months * number, self.days * number, self.minutes * number)


@lru_cache(maxsize=1024)
def parse_period(text: str) -> Period:
    """`P14D`, `P12M`, `P1Y6M`, `PT36H`. Raises ValueError for anything else, and for nothing."""
    found = _PERIOD.fullmatch(text)
    if found is None or not any(found.groups()):
        raise ValueError('must be an ISO 8601 period such as "P14D", "P12M" or "PT36H"')
    years, months, weeks, days, hours, minutes = (int(part or 0) for part in found.groups())
    period = Period(years * 12 + months, weeks * 7 + days, hours * 60 + minutes)
    if not any(period):
        raise ValueError("must not be an empty period")
    if period.months > 1200 or period.days > 36_525:
        raise ValueError("must not be longer than 100 years")
    return period


Life = tuple[datetime | None, datetime | None]
"""From when and until when (exclusive) points may be spent, in UTC. None: at once, and for ever."""


def lifetimes(
    available: Availability | None, expires: Expiry | None, occurred_at: datetime, timezone: str
) -> tuple[Life, ...]:
    """The life of each instalment of points given at `occurred_at`; without instalments, of one.

    A life is counted from when the points are available.
    """
    if available is None and expires is None:
        return ((None, None),)
    start = occurred_at.astimezone(zone_of(timezone))
    if _exact(available, expires):
        return _lives(available, expires, start)
    # Whole days: every receipt of a day has the same dates. Any moment inside the day will do.
    inside = start.timetz().replace(tzinfo=None) != time.min
    return _lives_of_day(available, expires, timezone, start.date(), inside)


def _exact(available: Availability | None, expires: Expiry | None) -> bool:
    """Whether hours and minutes count."""
    if available is not None and available.at is not None:
        return True
    instalments = available and available.instalments
    periods = [
        available and available.after,
        instalments and instalments.every,
        expires and expires.after,
    ]
    return any(parse_period(one).minutes for one in periods if one)


@lru_cache(maxsize=4096)
def _lives_of_day(
    available: Availability | None, expires: Expiry | None, timezone: str, day: date, inside: bool
) -> tuple[Life, ...]:
    moment = time(12) if inside else time.min
    return _lives(available, expires, datetime.combine(day, moment, zone_of(timezone)))


def _lives(
    available: Availability | None, expires: Expiry | None, start: datetime
) -> tuple[Life, ...]:
    first = None
    if available is not None and available.at is not None:
        first = available.at.astimezone(start.tzinfo) if available.at > start else None
    elif available is not None and available.after is not None:
        first = _later(parse_period(available.after), start, round_up=False)
    lives = [(first, _end(expires, first or start))]
    if available is not None and available.instalments is not None:
        every = parse_period(available.instalments.every)
        for number in range(1, available.instalments.count):
            # Counted from the first one, so that a short month moves none of the later ones.
            at = _later(every.times(number), first or start, round_up=False)
            lives.append((at, _end(expires, at)))
    return tuple((_utc(begin), _utc(end)) for begin, end in lives)


def _end(expires: Expiry | None, start: datetime) -> datetime | None:
    if expires is None:
        return None
    if expires.at is not None:
        return expires.at
    if expires.after is None:
        raise ValueError("an expiry without an end")
    end = _later(parse_period(expires.after), start, round_up=True)
    return end if expires.round_up_to is None else _round_up(end, _MONTHS[expires.round_up_to])


def _later(period: Period, start: datetime, *, round_up: bool) -> datetime:
    days = relativedelta(months=period.months, days=period.days)
    if period.minutes:
        exact = (start + days).astimezone(UTC) + timedelta(minutes=period.minutes)
        return exact.astimezone(start.tzinfo)
    day = start.date() + days
    if round_up and start.timetz().replace(tzinfo=None) != time.min:
        day += timedelta(days=1)
    return _midnight(day, start)


def _round_up(moment: datetime, months: int) -> datetime:
    """The first midnight at or after `moment` that begins a span of `months` of the year."""
    first = date(moment.year, (moment.month - 1) // months * months + 1, 1)
    begins = _midnight(first, moment)
    return begins if begins >= moment else _midnight(first + relativedelta(months=months), moment)


def _midnight(day: date, like: datetime) -> datetime:
    return datetime.combine(day, time.min, like.tzinfo)


def _utc(moment: datetime | None) -> datetime | None:
    return None if moment is None else moment.astimezone(UTC)


@lru_cache(maxsize=1024)
def zone_of(name: str) -> ZoneInfo:
    """The zone of an IANA name."""
    return ZoneInfo(name)
