"""When campaigns run: RFC 5545 by the wall clocks of the chain."""

from __future__ import annotations

from datetime import UTC, date, datetime, time
from itertools import islice, pairwise
from zoneinfo import ZoneInfo

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from billing.campaigns.rrule import check_rule, parse_rule
from billing.campaigns.schedule import Recurring

BERLIN, MOSCOW = ZoneInfo("Europe/Berlin"), ZoneInfo("Europe/Moscow")


def recurring(rule: str, begin: date, at: time = time(9), zone: ZoneInfo = BERLIN) -> Recurring:
    return Recurring(parse_rule(rule, zone), begin, at, zone)


def runs(schedule: Recurring, number: int, since: datetime | None = None) -> list[str]:
    """The next ones, as the clock on the wall shows them, with its offset."""
    since = since or datetime(2000, 1, 1, tzinfo=UTC)
    found = islice(schedule.upcoming(since), number)
    return [one.astimezone(schedule.zone).isoformat(timespec="minutes") for one in found]


def test_nine_stays_nine_over_a_change_of_the_clock() -> None:
    assert runs(recurring("FREQ=DAILY", date(2027, 3, 27)), 3) == [
        "2027-03-27T09:00+01:00",
        "2027-03-28T09:00+02:00",
        "2027-03-29T09:00+02:00",
    ]


def test_a_time_that_does_not_exist_runs_at_the_next_one_that_does() -> None:
    assert runs(recurring("FREQ=DAILY", date(2027, 3, 27), time(2, 30)), 3) == [
        "2027-03-27T02:30+01:00",
        "2027-03-28T03:00+02:00",
        "2027-03-29T02:30+02:00",
    ]


def test_a_time_that_comes_twice_runs_once() -> None:
    assert runs(recurring("FREQ=DAILY", date(2027, 10, 30), time(2, 30)), 3) == [
        "2027-10-30T02:30+02:00",
        "2027-10-31T02:30+02:00",
        "2027-11-01T02:30+01:00",
    ]
    hourly = runs(recurring("FREQ=HOURLY", date(2027, 10, 31), time(1)), 3)
    assert hourly == [
        "2027-10-31T01:00+02:00",
        "2027-10-31T02:00+02:00",
        "2027-10-31T03:00+01:00",
    ]


def test_two_wall_times_of_one_moment_are_one_run() -> None:
    hourly = runs(recurring("FREQ=HOURLY", date(2027, 3, 28), time(1)), 3)
    assert hourly == [
        "2027-03-28T01:00+01:00",
        "2027-03-28T03:00+02:00",
        "2027-03-28T04:00+02:00",
    ]


def test_the_last_day_of_every_month_a_leap_day_among_them() -> None:
    found = runs(recurring("FREQ=MONTHLY;BYMONTHDAY=-1", date(2027, 12, 1)), 5)
    assert [one[:10] for one in found] == [
        "2027-12-31",
        "2028-01-31",
        "2028-02-29",
        "2028-03-31",
        "2028-04-30",
    ]


@pytest.mark.parametrize(
    ("rule", "first"),
    [
        ("FREQ=MONTHLY;BYDAY=-1FR", "2027-01-29"),
        ("FREQ=MONTHLY;BYDAY=MO,TU,WE,TH,FR;BYSETPOS=-1", "2027-01-29"),
        ("FREQ=MONTHLY;BYMONTHDAY=28,29,30,31;BYSETPOS=-1", "2027-01-31"),
        ("RRULE:FREQ=WEEKLY;INTERVAL=2;BYDAY=SA", "2027-01-16"),
        ("freq=yearly;bymonth=3;bymonthday=8", "2027-03-08"),
        ("FREQ=MONTHLY;BYDAY=FR;BYMONTHDAY=13", "2027-08-13"),
        ("FREQ=DAILY;BYDAY=SU", "2027-01-17"),
    ],
)
def test_rules_that_are_taken(rule: str, first: str) -> None:
    schedule = recurring(rule, date(2027, 1, 15))
    check_rule(schedule.rule, datetime(2027, 1, 15, 9))  # noqa: DTZ001
    assert runs(schedule, 1)[0][:10] == first


@pytest.mark.parametrize(
    ("rule", "why"),
    [
        ("FREQ=MONTHLY;BYMONTHDAY=31", "month 2 has not always a day 31; write BYMONTHDAY=-1"),
        ("FREQ=MONTHLY;BYMONTHDAY=15,30", "month 2 has not always a day 30"),
        ("FREQ=MONTHLY", "not always a day 31"),
        ("FREQ=MONTHLY;INTERVAL=3;BYMONTHDAY=31", "month 4 has not always a day 31"),
        ("FREQ=YEARLY;BYMONTH=2;BYMONTHDAY=29", "not always a day 29"),
        ("FREQ=YEARLY;BYMONTH=2;BYMONTHDAY=30", "not always a day 30"),
        ("FREQ=MONTHLY;BYDAY=5MO", "write BYDAY=-1MO for the last Monday"),
        ("FREQ=MONTHLY;BYSETPOS=3", "has a BYSETPOS that not every month has"),
        ("FREQ=MINUTELY", "more often than hourly"),
        ("FREQ=DAILY;BYMINUTE=0,30", "more often than hourly"),
        ("FREQ=HOURLY;BYMONTHDAY=30", "FREQ=HOURLY takes"),
        ("FREQ=HOURLY;INTERVAL=12;BYHOUR=10", "is not a rule"),
        ("FREQ=DAILY;INTERVAL=7;BYDAY=MO", "an INTERVAL of days beside days it may miss"),
        ("FREQ=DAILY;COUNT=3;UNTIL=20270301", "both COUNT and UNTIL"),
        ("FREQ=DAILY;UNTIL=20270101", "it ends before its first day"),
        ("FREQ=DAILY;UNTIL=20271301", "an UNTIL that is no date"),
        ("FREQ=DAILY;FREQ=DAILY", "has FREQ twice"),
        ("FREQ=WEEKLY;BYDAY=XX", "which RFC 5545 does not know"),
        ("every day", "must be an RFC 5545 rule"),
        ("FREQ=DAILY\nEXDATE:20270101T090000", "must be an RFC 5545 rule"),
    ],
)
def test_rules_that_skip_or_never_end_are_refused(rule: str, why: str) -> None:
    with pytest.raises(ValueError, match=why):
        check_rule(parse_rule(rule, BERLIN), datetime(2027, 1, 31, 9))  # noqa: DTZ001


def test_counts_and_ends() -> None:
    since = datetime(2027, 1, 1, tzinfo=UTC)
    for rule, number in (
        ("FREQ=DAILY;COUNT=3", 3),
        ("FREQ=DAILY;UNTIL=20270103", 3),
        ("FREQ=DAILY;UNTIL=20270103T080000Z", 3),
        ("FREQ=DAILY;UNTIL=20270103T075959Z", 2),
        ("FREQ=DAILY", None),
    ):
        assert recurring(rule, date(2027, 1, 1)).runs(since) == number


def test_an_old_rule_is_not_counted_through_from_its_beginning() -> None:
    old = recurring("FREQ=HOURLY;INTERVAL=5", date(2027, 1, 1), time(3, 15), MOSCOW)
    since = datetime(2036, 6, 1, tzinfo=UTC)
    later = recurring("FREQ=HOURLY;INTERVAL=5", date(2027, 1, 1), time(3, 15), MOSCOW)
    counted = [one for one in later.upcoming(datetime(2027, 1, 1, tzinfo=UTC)) if one > since]
    assert list(islice(old.upcoming(since), 3)) == counted[:3]


RULES = st.sampled_from(
    ["FREQ=DAILY", "FREQ=HOURLY", "FREQ=HOURLY;INTERVAL=7", "FREQ=DAILY;BYHOUR=1,2,3",
     "FREQ=WEEKLY;BYDAY=SU", "FREQ=MONTHLY;BYMONTHDAY=-1"]
)  # fmt: skip
ZONES = st.sampled_from(["Europe/Berlin", "America/St_Johns", "Australia/Lord_Howe", "Asia/Tehran"])


@settings(max_examples=60, deadline=None)
@given(RULES, ZONES, st.dates(date(2026, 1, 1), date(2028, 1, 1)), st.integers(0, 1439))
def test_runs_only_go_forward_and_asking_anew_goes_on(
    rule: str, zone: str, begin: date, minute: int
) -> None:
    """What a worker asks after each run gives the same runs as one look at the whole."""
    at = time(minute // 60, minute % 60)
    schedule = recurring(rule, begin, at, ZoneInfo(zone))
    whole = list(islice(schedule.upcoming(datetime(2026, 1, 1, tzinfo=UTC)), 40))
    assert all(one < other for one, other in pairwise(whole))
    for one, following in pairwise(whole):
        assert schedule.after(one) == following
