"""From when and until when points live: the calendar of the shop (C31, C32; features, Expiry)."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from zoneinfo import ZoneInfo

import pytest
from dateutil.relativedelta import relativedelta
from hypothesis import given
from hypothesis import strategies as st

from billing.programs.model import Availability, Expiry, Instalments, Limits, RoundUpTo
from billing.programs.periods import lifetimes
from tests.billing.programs.baskets import awards, basket, fixed, line, percent, program

MOSCOW = "Europe/Moscow"
ZONES = (
    MOSCOW, "Europe/Berlin", "Asia/Beirut", "Africa/Cairo", "America/Havana", "America/Santiago",
    "Atlantic/Azores", "Australia/Lord_Howe", "Pacific/Kiritimati",
)  # fmt: skip


def at(text: str) -> datetime:
    return datetime.fromisoformat(text).astimezone(UTC)


def test_points_without_terms_live_for_ever_from_the_start() -> None:
    assert lifetimes(None, None, at("2026-11-21T12:00+03:00"), MOSCOW) == ((None, None),)


@pytest.mark.parametrize(
    ("bought", "round_up_to", "end"),
    [
        ("2026-01-31T12:00+03:00", None, "2026-03-01T00:00+03:00"),
        ("2024-01-30T12:00+03:00", None, "2024-03-01T00:00+03:00"),
        ("2026-02-10T12:00+03:00", None, "2026-03-11T00:00+03:00"),
        ("2026-02-10T12:00+03:00", "month", "2026-04-01T00:00+03:00"),
        ("2026-02-10T12:00+03:00", "quarter", "2026-04-01T00:00+03:00"),
        ("2026-02-10T12:00+03:00", "half_year", "2026-07-01T00:00+03:00"),
        ("2026-02-10T12:00+03:00", "year", "2027-01-01T00:00+03:00"),
    ],
)
def test_a_month_ends_where_the_calendar_says(
    bought: str, round_up_to: RoundUpTo | None, end: str
) -> None:
    """Month ends are clamped; what began inside a day ends at the end of one."""
    expires = Expiry(after="P1M", round_up_to=round_up_to)
    assert lifetimes(None, expires, at(bought), MOSCOW) == ((None, at(end)),)


def test_the_life_is_counted_from_when_points_are_available() -> None:
    available, expires = Availability(after="P14D"), Expiry(after="P10D")
    ((since, until),) = lifetimes(available, expires, at("2026-11-21T12:00+03:00"), MOSCOW)
    assert since == at("2026-12-05T00:00+03:00")
    assert until == at("2026-12-15T00:00+03:00")


def test_instalments_by_month_do_not_drift_over_a_short_month() -> None:
    available = Availability(after="P1D", instalments=Instalments(4, "P1M"))
    lives = lifetimes(available, None, at("2026-12-30T12:00+03:00"), MOSCOW)
    days = ["2026-12-31", "2027-01-31", "2027-02-28", "2027-03-31"]
    assert [since for since, _ in lives] == [at(f"{day}T00:00+03:00") for day in days]


def test_instalments_by_the_hour_begin_when_the_goods_were_bought() -> None:
    available = Availability(instalments=Instalments(3, "PT1H"))
    lives = lifetimes(available, None, at("2026-11-21T21:30+03:00"), MOSCOW)
    hours = ["2026-11-21T22:30", "2026-11-21T23:30"]
    assert [since for since, _ in lives] == [None, *(at(f"{hour}+03:00") for hour in hours)]


def test_a_fixed_date_that_is_over_gives_the_points_at_once() -> None:
    available = Availability(at=at("2026-11-20T00:00+03:00"))
    assert lifetimes(available, None, at("2026-11-21T12:00+03:00"), MOSCOW) == ((None, None),)
    later = Availability(at=at("2026-12-01T00:00+03:00"))
    lives = lifetimes(later, None, at("2026-11-21T12:00+03:00"), MOSCOW)
    assert lives == ((at("2026-12-01T00:00+03:00"), None),)


def test_days_are_whole_over_a_change_of_the_clock() -> None:
    """Berlin left summer time on 25 October 2026: midnight stays midnight."""
    ((since, _),) = lifetimes(
        Availability(after="P1D"), None, at("2026-10-24T12:00+02:00"), "Europe/Berlin"
    )
    assert since == at("2026-10-25T00:00+02:00")
    ((exact, _),) = lifetimes(
        Availability(after="PT24H"), None, at("2026-10-24T12:00+02:00"), "Europe/Berlin"
    )
    assert exact == at("2026-10-25T11:00+01:00")


@given(
    st.sampled_from(ZONES),
    st.datetimes(datetime(2020, 1, 1), datetime(2037, 1, 1), timezones=st.just(UTC)),  # noqa: DTZ001
    st.integers(1, 500),
    st.integers(1, 40),
    st.sampled_from([None, "month", "quarter", "half_year", "year"]),
    st.integers(2, 6),
)
def test_wherever_the_clock_jumps_lives_begin_and_end_with_a_day(
    zone: str, bought: datetime, wait: int, life: int, to: RoundUpTo | None, parts: int
) -> None:
    """In Beirut, Havana and Santiago a day may begin at one, and in Lord Howe have 23½ hours."""
    every = Instalments(parts, "P1M")
    lives = lifetimes(
        Availability(after=f"P{wait}D", instalments=every), Expiry(f"P{life}D", to), bought, zone
    )
    here = ZoneInfo(zone)
    first = bought.astimezone(here).date() + timedelta(days=wait)
    for number, (since, until) in enumerate(lives):
        assert since is not None
        assert until is not None
        begins, ends = since.astimezone(here).date(), until.astimezone(here).date()
        assert begins == first + relativedelta(months=number)
        assert ends >= begins + timedelta(days=life)
        assert to is not None or ends == begins + timedelta(days=life)
        for moment in (since, until):
            before = (moment - timedelta(microseconds=1)).astimezone(here)
            assert before.date() < moment.astimezone(here).date()


def test_instalments_add_up_on_each_line_and_in_all() -> None:
    available = Availability(instalments=Instalments(3, "P1M"))
    bought = basket(line(1, "a", 70), line(2, "b", 30), occurred_at=at("2026-11-21T12:00+03:00"))
    (award,) = awards([program("x", percent(100), available=available)], bought)
    assert [part.points for part in award.parts] == [33_34, 33_33, 33_33]
    assert award.by_line == (70_00, 30_00)
    for number in range(2):
        assert sum(part.by_line[number] for part in award.parts) == award.by_line[number]


def test_points_that_would_end_before_they_begin_are_not_given() -> None:
    """A promotion's own end (features: promo own term) may be nearer than the delay."""
    until = Expiry(at=at("2026-12-01T00:00+03:00"))
    late = program("x", fixed(10), available=Availability(after="P14D"), expires=until)
    bought = basket(line(1, "a", 70), occurred_at=at("2026-11-21T12:00+03:00"))
    assert awards([late], bought) == ()
    early = basket(line(1, "a", 70), occurred_at=at("2026-11-11T12:00+03:00"))
    assert awards([late], early)[0].parts[0].expires_at == until.at
    parts = program(
        "x", fixed(10), expires=until, available=Availability(instalments=Instalments(2, "P1M")),
        limits=Limits(),
    )  # fmt: skip
    (award,) = awards([parts], bought)
    assert award.points == 5_00
