"""The RFC 5545 rules a campaign may recur by, and what is wrong with others.

A rule says on which days, and with BYHOUR or FREQ=HOURLY at which hours; the time of day is said
beside it. So runs are never nearer to each other than an hour. Only rules are taken that find a
day in every month or year they are for: what runs seldom, or never, would be noticed too late.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from datetime import datetime, time, timedelta
from itertools import islice
from typing import NamedTuple
from zoneinfo import ZoneInfo

from dateutil import rrule

from billing.campaigns.wallclock import wall_of

MAX_YEARS = 10
"""For how long after its beginning a rule runs; then it is over."""
MAX_TEXT = 200

_DAYS_IN = (0, 31, 28, 31, 30, 31, 30, 31, 31, 30, 31, 30, 31)
"""Days a month has for sure."""
_DAYS = "MO|TU|WE|TH|FR|SA|SU"
_VALUES = {
    "INTERVAL": r"[1-9][0-9]{0,2}",
    "COUNT": r"[1-9][0-9]{0,4}",
    "UNTIL": r"[0-9]{8}(T[0-9]{6}Z?)?",
    "WKST": _DAYS,
    "BYMONTH": r"1[0-2]|[1-9]",
    "BYMONTHDAY": r"-?(3[01]|[12][0-9]|[1-9])",
    "BYDAY": rf"([+-]?[1-9][0-9]?)?({_DAYS})",
    "BYSETPOS": r"-?[1-9][0-9]?",
    "BYHOUR": r"2[0-3]|1[0-9]|[0-9]",
}
_ANY = ("INTERVAL", "COUNT", "UNTIL", "WKST", "BYHOUR")
_TAKES = {
    "YEARLY": (*_ANY, "BYMONTH", "BYMONTHDAY", "BYDAY"),
    "MONTHLY": (*_ANY, "BYMONTHDAY", "BYDAY", "BYSETPOS"),
    "WEEKLY": (*_ANY, "BYDAY"),
    "DAILY": (*_ANY, "BYDAY", "BYMONTH"),
    "HOURLY": (*_ANY, "BYDAY"),
}
_MOST = {"YEARLY": 5, "MONTHLY": 12, "WEEKLY": 52, "DAILY": 366, "HOURLY": 23}
_STEP = {"WEEKLY": timedelta(weeks=1), "DAILY": timedelta(days=1), "HOURLY": timedelta(hours=1)}
_LAST_DAY = "write BYMONTHDAY=-1 for the last day of the month"


class Rule(NamedTuple):
    """A rule that is right: its parts, how many runs at most, and until when."""

    parts: dict[str, str]
    times: int | None
    until: datetime | None
    """The last wall time, inclusive."""

    @property
    def freq(self) -> str:
        return self.parts["FREQ"]

    def many(self, name: str) -> list[str]:
        return self.parts[name].split(",") if name in self.parts else []

    def walls(self, start: datetime, after: datetime) -> Iterator[datetime]:
        """The wall times of the runs, counted from `start`; of those before `after` perhaps not
        all. All are naive."""
        end = start.replace(year=start.year + MAX_YEARS, day=min(start.day, 28))
        end = end if self.until is None else min(end, self.until)
        if self.times is None:
            start = self._near(start, after)
        return islice(iter(self._dateutil(start, end)), self.times)

    def _dateutil(self, start: datetime, end: datetime) -> rrule.rrule:
        made = rrule.rrulestr(";".join(f"{name}={value}" for name, value in self.parts.items()))
        if not isinstance(made, rrule.rrule):
            raise TypeError("one rule makes no set")
        return made.replace(dtstart=start, until=end)

    def _near(self, start: datetime, after: datetime) -> datetime:
        """A later start from which the same runs follow: old rules need not be counted through."""
        unit = _STEP.get(self.freq)
        if unit is None or after <= start:
            return start
        step = unit * int(self.parts.get("INTERVAL", "1"))
        return start + step * max((after - start) // step - 1, 0)


def parse_rule(text: str, zone: ZoneInfo) -> Rule:
    """Read `FREQ=MONTHLY;BYMONTHDAY=-1`. Raises ValueError with a message for a marketer."""
    parts: dict[str, str] = {}
    for piece in text.upper().removeprefix("RRULE:").split(";"):
        name, _, value = piece.partition("=")
        if name in parts:
            raise ValueError(f"has {name} twice")
        parts[name[:20]] = value
    freq = parts.get("FREQ", "")
    if freq in ("MINUTELY", "SECONDLY") or {"BYMINUTE", "BYSECOND"} & parts.keys():
        raise ValueError("must not run more often than hourly; `at` says the minute")
    if freq not in _TAKES:
        raise ValueError('must be an RFC 5545 rule such as "FREQ=WEEKLY;BYDAY=MO"')
    for name, value in parts.items():
        if name == "FREQ":
            continue
        if name not in _TAKES[freq]:
            raise ValueError(f"has {name!r}; FREQ={freq} takes {', '.join(_TAKES[freq])}")
        several = name.startswith("BY")
        for one in value.split(",") if several else [value]:
            if not re.fullmatch(_VALUES[name], one):
                raise ValueError(f"has {name}={value[:40]!r}, which RFC 5545 does not know")
    return _rule(parts, zone)


def check_rule(rule: Rule, start: datetime) -> None:
    """Raise ValueError for a rule that never runs, or passes over months unseen."""
    _check_days(rule)
    months = _months(rule, start)
    days = [int(day) for day in rule.many("BYMONTHDAY")]
    if not days and not rule.many("BYDAY") and rule.freq in ("MONTHLY", "YEARLY"):
        days = [start.day]
    # One of several by BYSETPOS needs one of them; else each has to exist.
    needed = (min if rule.many("BYSETPOS") else max)(days, key=abs, default=0)
    for month in sorted(months):
        if abs(needed) > _DAYS_IN[month]:
            raise ValueError(
                f"does not run in every month it is for: month {month} has not always a day "
                f"{needed}; {_LAST_DAY}"
            )
    try:
        runs = next(rule.walls(start, start), None)
    except ValueError as error:
        raise ValueError(f"is not a rule: {error}") from None
    if runs is None:
        raise ValueError("never runs: it ends before its first day")


def _rule(parts: dict[str, str], zone: ZoneInfo) -> Rule:
    freq, interval = parts["FREQ"], int(parts.get("INTERVAL", "1"))
    if interval > _MOST[freq]:
        raise ValueError(f"has INTERVAL={interval}; FREQ={freq} takes at most {_MOST[freq]}")
    if freq == "DAILY" and interval > 1 and {"BYDAY", "BYMONTH"} & parts.keys():
        raise ValueError("has an INTERVAL of days beside days it may miss; leave one of them out")
    if "COUNT" in parts and "UNTIL" in parts:
        raise ValueError("has both COUNT and UNTIL; one of them says the end")
    count, until = parts.pop("COUNT", None), parts.pop("UNTIL", None)
    return Rule(parts, int(count) if count else None, _until(until, zone) if until else None)


def _until(text: str, zone: ZoneInfo) -> datetime:
    try:
        if "T" not in text:
            return datetime.combine(datetime.strptime(text, "%Y%m%d"), time.max)  # noqa: DTZ007
        moment = datetime.strptime(text.rstrip("Z"), "%Y%m%dT%H%M%S")  # noqa: DTZ007
    except ValueError:
        raise ValueError('has an UNTIL that is no date; write it as "20271231"') from None
    return wall_of(moment.replace(tzinfo=ZoneInfo("UTC")), zone) if text.endswith("Z") else moment


def _check_days(rule: Rule) -> None:
    """Raise ValueError unless BYDAY and BYSETPOS name what every month or year has."""
    numbers = [int(one[:-2]) for one in rule.many("BYDAY") if one[:-2]]
    if numbers and rule.freq not in ("MONTHLY", "YEARLY"):
        raise ValueError(f"numbers its days; FREQ={rule.freq} takes plain ones, such as BYDAY=MO")
    if numbers and rule.many("BYMONTHDAY"):
        raise ValueError("numbers its days beside BYMONTHDAY; leave one of them out")
    most = 52 if rule.freq == "YEARLY" and not rule.many("BYMONTH") else 4
    if any(abs(number) > most for number in numbers):
        raise ValueError(
            f"does not always find its day: there are {most} of each weekday for sure; "
            "write BYDAY=-1MO for the last Monday"
        )
    plain = len(rule.many("BYDAY")) if not numbers else 0
    among = max(plain * 4, len([d for d in rule.many("BYMONTHDAY") if abs(int(d)) <= 28]))
    if plain and rule.many("BYMONTHDAY"):
        among = 0
    if any(abs(int(place)) > among for place in rule.many("BYSETPOS")):
        raise ValueError(
            f"has a BYSETPOS that not every month has among its days; {_LAST_DAY}, "
            "or BYDAY=MO,TU,WE,TH,FR;BYSETPOS=-1 for the last working day"
        )


def _months(rule: Rule, start: datetime) -> set[int]:
    """The months of the year it is for."""
    if rule.freq == "MONTHLY":
        step = int(rule.parts.get("INTERVAL", "1"))
        return {(start.month - 1 + number * step) % 12 + 1 for number in range(12)}
    if rule.many("BYMONTH"):
        return {int(month) for month in rule.many("BYMONTH")}
    return set(range(1, 13)) if rule.many("BYMONTHDAY") else {start.month}
