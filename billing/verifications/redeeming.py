"""Payments with points that the customer has to confirm by a code.

Used once, since the ledger itself takes the verification as a natural key of the payment.
"""

from __future__ import annotations

from typing import Final
from uuid import UUID

import msgspec

from billing.common.db import Database
from billing.common.errors import Conflict
from billing.common.money import format_amount
from billing.verifications.model import CONFIRMED_FOR
from ledger.errors import Refusal
from ledger.group import Clock
from ledger.service import utc_now

_READ = """
SELECT customer_id, purpose, state, confirmed_at, points
FROM billing.verifications WHERE id = $1
"""


class Demand(msgspec.Struct, frozen=True):
    """What a payment needs beside points: from `threshold` on a confirmed verification, which is
    good for `at_most`. Amounts are 1/100 points; None: no bound."""

    threshold: int | None = None
    verification_id: UUID | None = None
    at_most: int | None = None

    @property
    def claims(self) -> tuple[str, ...]:
        """The natural key by which the verification is used once."""
        return () if self.verification_id is None else (f"verification/{self.verification_id}",)

    def check(self, points: int) -> None:
        """Raise Refusal unless so many points may be paid."""
        if self.verification_id is None:
            if self.threshold is not None and points >= self.threshold:
                raise Refusal(
                    "verification_required",
                    f"From {format_amount(self.threshold)} points on the customer confirms a "
                    "payment by a code: start a verification of purpose redemption, confirm it, "
                    "and repeat under a new Idempotency-Key with its verification_id.",
                    points=points,
                )
        elif self.at_most is not None and points > self.at_most:
            raise Refusal(
                "verification_required",
                f"The customer has confirmed {format_amount(self.at_most)} points, not "
                f"{format_amount(points)}; start another verification.",
                points=points,
            )

    def used(self) -> Refusal:
        return Refusal(
            "verification_used",
            "This verification has confirmed another payment; start a new one. To hear the "
            "answer of that payment again, repeat it with its own Idempotency-Key.",
        )


NO_DEMAND: Final = Demand()


class RedemptionCodes:
    """Says what payments need. `threshold` None: no payment needs a code."""

    def __init__(
        self, database: Database, threshold: int | None, *, clock: Clock = utc_now
    ) -> None:
        self._database = database
        self._threshold = threshold
        self._clock = clock

    async def demand(self, customer_id: UUID, verification_id: UUID | None) -> Demand:
        """What a payment of the customer needs. Raises Conflict verification_required for a
        verification that is not the customer's, not confirmed, or confirmed too long ago."""
        if verification_id is None:
            return Demand(self._threshold)
        rows = await self._database.fetch(_READ, verification_id)
        found = rows[0] if rows else None
        good = (
            found is not None
            and (found["customer_id"], found["purpose"]) == (customer_id, "redemption")
            and found["state"] == "confirmed"
            and found["points"] is not None
            and self._clock() < found["confirmed_at"] + CONFIRMED_FOR
        )
        if found is None or not good:
            raise Conflict(
                "verification_required",
                "The verification is not one of this customer's payments that was confirmed "
                "within ten minutes; start a new one.",
            )
        return Demand(self._threshold, verification_id, found["points"])
