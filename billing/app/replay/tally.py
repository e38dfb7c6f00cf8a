"""What a replay saw: exact sums from the answers, and how long they took."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field

from billing.app.replay.journal import Outcome

SHOWN_REFUSALS = 5


@dataclass
class Part:
    """Sums of a part of the answers, in 1/100 point."""

    receipts: int = 0
    accrued: int = 0
    redeemed: int = 0
    opening: int = 0

    def add(self, outcome: Outcome, *, last: bool) -> None:
        """`last` is the last step of its receipt."""
        self.receipts += last
        self.accrued += outcome.accrued
        self.redeemed += outcome.redeemed
        self.opening += outcome.opening


@dataclass
class Tally:
    """`new`: posted by this run. `replayed`: the service had them and answered as it did then
    (Idempotency-Hit). `earlier`: an earlier run's, from its journal. `already`: the service has
    them under another body, and what they moved is not in the answer."""

    new: Part = field(default_factory=Part)
    replayed: Part = field(default_factory=Part)
    earlier: Part = field(default_factory=Part)
    already: int = 0
    retries: int = 0
    refused: int = 0
    refusals: list[str] = field(default_factory=list)
    seconds: float = 0.0
    latencies: list[float] = field(default_factory=list)

    def retried(self) -> None:
        self.retries += 1

    def refuse(self, key: str, status: int, code: str, detail: str) -> None:
        self.refused += 1
        if len(self.refusals) < SHOWN_REFUSALS:
            self.refusals.append(f"{key}: {status} {code}: {detail}")

    @property
    def total(self) -> Part:
        parts = (self.new, self.replayed, self.earlier)
        return Part(
            sum(part.receipts for part in parts),
            sum(part.accrued for part in parts),
            sum(part.redeemed for part in parts),
            sum(part.opening for part in parts),
        )

    @property
    def per_second(self) -> float:
        done = self.new.receipts + self.replayed.receipts
        return done / self.seconds if self.seconds else 0.0

    def latency_ms(self, percent: int) -> float:
        """The latency that `percent` of the posts did not exceed; 0 without any."""
        return 1000 * _rank(sorted(self.latencies), percent) if self.latencies else 0.0


def _rank(ordered: Sequence[float], percent: int) -> float:
    return ordered[max(0, -(-len(ordered) * percent // 100) - 1)]
