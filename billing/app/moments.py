"""Moments as people type them: a time with offset, or a date."""

from __future__ import annotations

from datetime import datetime
from zoneinfo import ZoneInfo

from billing.common.wire import Instant


def moment(text: str, name: str, zone: ZoneInfo) -> Instant:
    """A time with offset, or a date: its beginning in the chain's zone. Raises ValueError."""
    if len(text) == len("2026-10-01"):
        try:
            text = datetime.fromisoformat(text).replace(tzinfo=zone).isoformat()
        except ValueError:
            raise ValueError(f'{name} must be a date such as "2026-10-01", or a time') from None
    try:
        return Instant.from_wire(text)
    except ValueError as error:
        raise ValueError(f"{name} {error}") from None
