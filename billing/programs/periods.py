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

from billing.programs.model import Expiry, ProgramVersion, RoundUpTo

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


def lifetime(program: ProgramVersion, occurred_at: datetime, timezone: str) -> Life:
    """From when and until when (exclusive) the points of a receipt may be spent, in UTC.

    None means at once, and for ever. The life is counted from when the points are available.
    """
    if program.available_after is None and program.expires is None:
        return None, None
    start = occurred_at.astimezone(_zone(timezone))
    exact = parse_period(program.available_after).minutes if program.available_after else 0
    if exact or (program.expires and parse_period(program.expires.after).minutes):
        return _life(program.available_after, program.expires, start)
    # Whole days: every receipt of a day has the same dates. Any moment inside the day will do.
    inside = start.timetz().replace(tzinfo=None) != time.min
    return _life_of_day(program.available_after, program.expires, timezone, start.date(), inside)


@lru_cache(maxsize=4096)
def _life_of_day(
    available_after: str | None, expires: Expiry | None, timezone: str, day: date, inside: bool
) -> Life:
    moment = time(12) if inside else time.min
    return _life(available_after, expires, datetime.combine(day, moment, _zone(timezone)))


def _life(available_after: str | None, expires: Expiry | None, start: datetime) -> Life:
    available_from = expires_at = None
    if available_after is not None:
        available_from = start = _later(parse_period(available_after), start, round_up=False)
    if expires is not None:
        expires_at = _later(parse_period(expires.after), start, round_up=True)
        if expires.round_up_to is not None:
            expires_at = _round_up(expires_at, _MONTHS[expires.round_up_to])
    return _utc(available_from), _utc(expires_at)


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
def _zone(name: str) -> ZoneInfo:
    return ZoneInfo(name)
