"""When points become available and expire, as text."""

from __future__ import annotations

from billing.programs import words
from billing.programs.model import Availability, Expiry, RoundUpTo
from billing.programs.periods import parse_period
from billing.programs.words import Language, Unit, moment, tell

_MONTH = Unit(("month", "months"), ("месяц", "месяца", "месяцев"), ("месяца", "месяцев"))
_HOUR = Unit(("hour", "hours"), ("час", "часа", "часов"), ("часа", "часов"))
_MINUTE = Unit(("minute", "minutes"), ("минуту", "минуты", "минут"), ("минуты", "минут"))
_PART = Unit(("part", "parts"), ("часть", "части", "частей"), ("части", "частей"))
_ROUNDED: dict[RoundUpTo, tuple[str, str]] = {
    "month": ("the month", "месяца"),
    "quarter": ("the quarter", "квартала"),
    "half_year": ("the half-year", "полугодия"),
    "year": ("the year", "года"),
}


def availability(available: Availability | None, language: Language) -> str:
    """From when points may be spent."""
    if available is None:
        return tell(language, "available at once", "доступны сразу")
    if available.after is not None:
        period = _period(available.after, language)
        begin = tell(language, f"available after {period}", f"доступны через {period}")
    elif available.at is not None:
        at = moment(available.at, language)
        begin = tell(language, f"available from {at}", f"доступны с {at}")
    else:
        begin = tell(language, "available at once", "доступны сразу")
    if available.instalments is None:
        return begin
    count = words.counted(available.instalments.count, _PART, language, genitive=True)
    every = _period(available.instalments.every, language)
    return f"{begin}, " + tell(
        language,
        f"in {count} that follow each other after {every}",
        f"из {count}, каждая следующая через {every}",
    )


def expiry(expires: Expiry | None, language: Language) -> str:
    """Until when."""
    if expires is None:
        return tell(language, "they never expire", "не сгорают")
    if expires.at is not None:
        at = moment(expires.at, language)
        return tell(language, f"they expire at {at}", f"сгорают {at}")
    period = _period(expires.after or "", language)
    end = tell(language, f"they expire after another {period}", f"сгорают ещё через {period}")
    if expires.round_up_to is None:
        return end
    en, ru = _ROUNDED[expires.round_up_to]
    return end + tell(language, f", at the end of {en}", f", в конце {ru}")


def _period(text: str, language: Language) -> str:
    months, days, minutes = parse_period(text)
    hours, minutes = divmod(minutes, 60)
    parts = ((months, _MONTH), (days, words.DAY), (hours, _HOUR), (minutes, _MINUTE))
    return words.both([words.counted(n, unit, language) for n, unit in parts if n], language)
