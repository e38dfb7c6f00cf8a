"""Wall clocks and moments: what a clock on the wall shows may come never, once or twice a day."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from zoneinfo import ZoneInfo

_EXACT = timedelta(seconds=1)


def moment_of(wall: datetime, zone: ZoneInfo) -> datetime:
    """When the clock in `zone` shows `wall` (naive), in UTC.

    What it shows twice, as it is set back, is the first time; what it never shows, as it is put
    forward, is the moment at which it jumps: the next time that exists.
    """
    first = wall.replace(tzinfo=zone).astimezone(UTC)
    if wall_of(first, zone) == wall:
        return first
    return _jump(wall.replace(tzinfo=zone, fold=1).astimezone(UTC), first, zone)


def wall_of(moment: datetime, zone: ZoneInfo) -> datetime:
    """What the clock in `zone` shows at `moment`, naive."""
    return moment.astimezone(zone).replace(tzinfo=None, fold=0)


def _jump(before: datetime, after: datetime, zone: ZoneInfo) -> datetime:
    """The first moment between the two at which the offset is that of `after`."""
    offset = after.astimezone(zone).utcoffset()
    while after - before > _EXACT:
        middle = before + (after - before) / 2
        if middle.astimezone(zone).utcoffset() == offset:
            after = middle
        else:
            before = middle
    return after.replace(microsecond=0)
