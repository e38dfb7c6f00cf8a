"""What an audit finds wrong."""

from __future__ import annotations

from uuid import UUID

from msgspec import Struct


class Finding(Struct, frozen=True):
    """One thing that is wrong: `what` (transaction, balance, lot, block …), `which`, and how.

    `customer_id` is None for what belongs to no customer, such as a block.
    """

    what: str
    customer_id: UUID | None
    which: str
    detail: str

    def __str__(self) -> str:
        whose = "" if self.customer_id is None else f" of customer {self.customer_id}"
        return f"{self.what} {self.which}{whose}: {self.detail}"
