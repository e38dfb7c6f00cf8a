"""How many messages each provider may take now, by its rate; the first by priority has them."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime
from math import floor

from integrations.sms.store import ProviderRow


class Slots:
    """The providers by priority, and how many messages each may take now."""

    def __init__(self, rows: Sequence[ProviderRow], now: datetime) -> None:
        self.rows = [row for row in rows if row.state == "active"]
        self.left = {
            row.code: _allowed(row, now) if row.not_before is None or row.not_before <= now else 0
            for row in self.rows
        }
        self.taken: dict[str, int] = {}

    @property
    def all_left(self) -> int:
        return sum(self.left.values())

    def choose(self, tried: Sequence[str], via: str | None) -> ProviderRow | None:
        """The first provider that was not tried and has room."""
        for row in self.eligible(tried, via):
            if self.left[row.code] > 0:
                self.left[row.code] -= 1
                self.taken[row.code] = self.taken.get(row.code, 0) + 1
                return row
        return None

    def eligible(self, tried: Sequence[str], via: str | None) -> list[ProviderRow]:
        return [
            row for row in self.rows if row.code not in tried and (via is None or row.code == via)
        ]


def _allowed(row: ProviderRow, now: datetime) -> int:
    """By its rate: what it may take within a second, and always one at a time."""
    interval = 60 / row.rate_per_minute
    ahead = max((row.next_slot_at - now).total_seconds(), 0.0)
    return max(floor((max(interval, 1.0) - ahead) / interval + 1e-6), 0)
