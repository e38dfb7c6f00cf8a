"""What the chain decides about messages: languages, switches, quiet hours, keywords."""

from __future__ import annotations

import re
import unicodedata
from datetime import datetime, timedelta
from typing import Annotated, Final
from zoneinfo import ZoneInfo

import msgspec

from billing.programs.words import Language

Clock = Annotated[str, msgspec.Meta(pattern=r"^([01][0-9]|2[0-3]):[0-5][0-9]$", examples=["22:00"])]
Word = Annotated[str, msgspec.Meta(min_length=1, max_length=30)]
Words = Annotated[list[Word], msgspec.Meta(min_length=1, max_length=20)]
_TRIMMED: Final = re.compile(r"[^\w]+")


class Switches(msgspec.Struct, forbid_unknown_fields=True, frozen=True, kw_only=True):
    """Which events customers are told of. All off at first: every message costs money."""

    accrual: bool = False
    redemption: bool = False
    activation: bool = False
    expiring: bool = False
    level_change: bool = False


class Keywords(msgspec.Struct, forbid_unknown_fields=True, frozen=True, kw_only=True):
    """What a customer may write; capital letters, spaces and punctuation do not count."""

    balance: Words = msgspec.field(default_factory=lambda: ["БАЛАНС", "BALANCE"])
    confirm: Words = msgspec.field(default_factory=lambda: ["ДА", "YES"])
    stop: Words = msgspec.field(default_factory=lambda: ["СТОП", "STOP"])


class QuietHours(msgspec.Struct, forbid_unknown_fields=True, frozen=True, kw_only=True):
    """No notices from `since` until `until`, in the time zone of the customer's store."""

    since: Clock = "22:00"
    until: Clock = "09:00"


class MessageSettings(msgspec.Struct, forbid_unknown_fields=True, frozen=True, kw_only=True):
    """`brand` signs messages; `language` is that of notices and answers. A notice is sent within
    `notice_hours` of its event or not at all. `replies_per_day` bounds the answers to one phone,
    `replies_per_day_in_all` those to all phones: each costs money."""

    brand: Annotated[str, msgspec.Meta(max_length=40)] = ""
    language: Language = "ru"
    tell: Switches = Switches()
    quiet_hours: QuietHours | None = QuietHours()
    notice_hours: Annotated[int, msgspec.Meta(ge=1, le=168)] = 24
    replies_per_day: Annotated[int, msgspec.Meta(ge=0, le=50)] = 5
    replies_per_day_in_all: Annotated[int, msgspec.Meta(ge=0, le=100_000)] = 2000
    keywords: Keywords = msgspec.field(default_factory=Keywords)


def canonical(text: str) -> str:
    """As keywords are compared: `«да!»` as `ДА`, `Ещё` as `ЕЩЕ`."""
    plain = unicodedata.normalize("NFKC", text).upper().replace("Ё", "Е")
    return _TRIMMED.sub(" ", plain).strip()


def quiet_until(quiet: QuietHours | None, zone: ZoneInfo, now: datetime) -> datetime | None:
    """When the quiet hours end that `now` is in; None when it is in none."""
    if quiet is None or quiet.since == quiet.until:
        return None
    local = now.astimezone(zone)
    time = local.strftime("%H:%M")
    over_midnight = quiet.since > quiet.until
    if not (
        (time >= quiet.since or time < quiet.until)
        if over_midnight
        else quiet.since <= time < quiet.until
    ):
        return None
    day = local.date() + timedelta(days=1 if over_midnight and time >= quiet.since else 0)
    hour, minute = map(int, quiet.until.split(":"))
    # By the wall clock: an hour that daylight saving skips ends when the clock shows it.
    end = datetime(day.year, day.month, day.day, hour, minute, tzinfo=zone)
    until = end.astimezone(now.tzinfo)
    # In an hour that comes twice, it may be over by the clock and yet be quiet.
    return until if until > now else now + timedelta(minutes=1)
