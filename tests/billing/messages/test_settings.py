"""Quiet hours are those of the wall clock in the store, whatever it does."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from zoneinfo import ZoneInfo

import pytest
from hypothesis import given
from hypothesis import strategies as st

from billing.messages.settings import QuietHours, canonical, quiet_until

NIGHT = QuietHours(since="22:00", until="09:00")
MOSCOW = ZoneInfo("Europe/Moscow")


def at(text: str) -> datetime:
    return datetime.fromisoformat(text).astimezone(UTC)


@pytest.mark.parametrize(
    ("now", "until"),
    [
        ("2026-05-01T21:59:59+03:00", None),
        ("2026-05-01T22:00:00+03:00", "2026-05-02T09:00:00+03:00"),
        ("2026-05-02T00:00:00+03:00", "2026-05-02T09:00:00+03:00"),
        ("2026-05-02T08:59:59+03:00", "2026-05-02T09:00:00+03:00"),
        ("2026-05-02T09:00:00+03:00", None),
        ("2026-12-31T23:00:00+03:00", "2027-01-01T09:00:00+03:00"),
    ],
)
def test_a_night_goes_over_midnight(now: str, until: str | None) -> None:
    found = quiet_until(NIGHT, MOSCOW, at(now))
    assert found == (None if until is None else at(until))


def test_quiet_hours_of_a_day() -> None:
    lunch = QuietHours(since="12:00", until="13:00")
    assert quiet_until(lunch, MOSCOW, at("2026-05-01T11:59:00+03:00")) is None
    assert quiet_until(lunch, MOSCOW, at("2026-05-01T12:00:00+03:00")) == at(
        "2026-05-01T13:00:00+03:00"
    )


def test_none_and_an_empty_night_are_never_quiet() -> None:
    now = at("2026-05-01T03:00:00+03:00")
    assert quiet_until(None, MOSCOW, now) is None
    assert quiet_until(QuietHours(since="09:00", until="09:00"), MOSCOW, now) is None


MOMENTS = st.integers(0, 366 * 86_400).map(
    lambda second: datetime(2026, 1, 1, tzinfo=UTC) + timedelta(seconds=second)
)
CLOCKS = st.from_regex(r"([01][0-9]|2[0-3]):[0-5][0-9]", fullmatch=True)


@given(MOMENTS, CLOCKS, CLOCKS, st.sampled_from(["Europe/Berlin", "America/Sao_Paulo", "UTC"]))
def test_it_always_ends_and_is_then_over(now: datetime, since: str, until: str, zone: str) -> None:
    """Also on the days on which an hour comes twice or not at all."""
    quiet, there = QuietHours(since=since, until=until), ZoneInfo(zone)
    end = quiet_until(quiet, there, now)
    if end is None:
        return
    assert timedelta(0) < end - now <= timedelta(hours=25)
    again = quiet_until(quiet, there, end)
    assert again is None or again - now <= timedelta(hours=26)


def test_keywords_are_compared_as_people_write_them() -> None:
    assert canonical("  «ещё»! ") == "ЕЩЕ"
    assert canonical("Stop.") == canonical("ＳＴＯＰ")
    assert canonical("!?") == ""
