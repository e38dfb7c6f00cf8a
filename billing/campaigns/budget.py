"""The budget of a campaign: a counter of the house, read and moved with the points it counts.

Whoever comes when less is left than the gift gets nothing, and is counted.
"""

from __future__ import annotations

from typing import Final

from msgspec.structs import replace

from billing.campaigns.gifts import Offer
from billing.campaigns.model import counter_of
from billing.common.db import Database
from billing.programs.limits import HOUSE, Counter
from ledger.commands import Command, Completion, Statement, Step, View
from ledger.decide import Outcome
from ledger.errors import Refusal

SPENT: Final = "campaign_budget"
"""The code of the refusal when too little is left."""

_COUNT = Statement(
    "billing.counters of campaigns",
    """
INSERT INTO billing.counters AS c (customer_id, name, value)
SELECT '00000000-0000-0000-0000-000000000000', name, sum(delta)
FROM unnest($1::text[], $2::bigint[]) AS n (name, delta) GROUP BY name ORDER BY name
ON CONFLICT (customer_id, name) DO UPDATE SET value = c.value + excluded.value
""",
    2,
)
_READ = "SELECT value FROM billing.counters WHERE customer_id = $1 AND name = $2"


class Budget:
    """Of one campaign, in 1/100 points. Its counter exists since the campaign was started."""

    def __init__(self, code: str, limit: int) -> None:
        self._name = counter_of(code)
        self._limit = limit
        self._fact = Counter(HOUSE, self._name, limit).fact

    async def left(self, database: Database) -> int:
        """What is left, or was a moment ago."""
        rows = await database.fetch(_READ, HOUSE, self._name, timeout_s=10)
        return self._limit - (rows[0]["value"] if rows else 0)

    def within(self, offer: Offer) -> Command:
        """The command of an offer, refused with SPENT when it is more than is left."""
        plain = offer.command
        used = 0

        def plan(view: View) -> tuple[Step, ...]:
            nonlocal used
            steps = plain.plan(view) if plain.plan is not None else plain.steps
            rows = view.facts[self._fact]
            used = rows[0][0] if rows else 0
            if used + offer.points() > self._limit:
                raise Refusal(SPENT, "The budget of the campaign is spent.")
            return steps

        def complete(outcome: Outcome) -> Completion:
            done = plain.complete(outcome) if plain.complete is not None else Completion()
            points = offer.points()
            return replace(
                done,
                rows=(*done.rows, (_COUNT, (self._name, points))),
                facts={**done.facts, self._fact: [(used + points,)]},
            )

        return replace(
            plain, steps=(), plan=plan, facts=(*plain.facts, self._fact), complete=complete
        )
