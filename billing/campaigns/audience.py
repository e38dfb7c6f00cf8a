"""Who of a crowd is in the audience, and who of those may get points."""

from __future__ import annotations

from datetime import datetime
from typing import Final

from billing.campaigns.definition import Terms
from billing.customers.member import member_of
from billing.customers.model import Customer
from billing.programs.conditions import holds
from billing.programs.model import Basket, Situation

BLOCKED: Final = "blocked"
NOT_VERIFIED: Final = "not_verified"
BUDGET: Final = "budget"
APPROVAL: Final = "approval"
"""More than may be given without a second person."""


class Audience:
    """Looks at customers as of the time of a run; `timezone` is the chain's."""

    def __init__(self, terms: Terms, at: datetime, timezone: str) -> None:
        self._condition = terms.audience
        self._basket = Basket(None, None, None, timezone, at, ())

    def takes(self, customer: Customer) -> bool:
        """Whether the campaign is for the customer at all. Of a list everybody is taken."""
        if self._condition is None:
            return True
        return holds(self._condition, Situation(self._basket, member_of(customer)))


def obstacle_of(customer: Customer) -> str | None:
    """Why a customer of the audience may not get points (B20)."""
    if customer.status == "verified":
        return None
    return BLOCKED if customer.status == "blocked" else NOT_VERIFIED


Skipped = dict[str, int]
"""How many got nothing, by reason."""
