"""What a customer's SMS may ask the rest of the service for, and whom it may not be sent."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Literal, Protocol
from uuid import UUID

from sqlalchemy.ext.asyncio import AsyncConnection

from billing.consents.service import Consents
from billing.customers.service import Customers
from billing.verifications.service import Verifications

Confirmed = Literal["confirmed", "wrong_code", "not_open", "not_understood"]
"""`not_open`: no verification of this phone waits for it, or more than one does."""

YES = "да"
"""What is said for any keyword of yes."""


class Points(Protocol):
    """What a customer has, in 1/100 points."""

    available: int
    promo: int
    deferred: int


class InboundActs(Protocol):
    """Each owns its transaction, may be asked twice, and never raises for what a sender wrote.
    `phone` is E.164."""

    async def confirm_by_reply(self, phone: str, text: str) -> Confirmed:
        """The phone's owner told a code (digits alone), or said YES."""

    async def withdraw_messages(self, phone: str) -> bool:
        """The phone's owner wants no more messages. False: nobody has it, or said so before."""

    async def balance_for_phone(self, phone: str) -> Points | None:
        """None when nobody has this phone, or may not be told."""

    async def level_for_phone(self, phone: str) -> str | None:
        """The name of the level, where there are levels."""


class Willing(Protocol):
    """Who of these customers may be sent notices, beside those who opted out by phone. Asked when
    a notice is queued, and again when it is sent."""

    async def willing(self, tx: AsyncConnection, customers: Sequence[UUID]) -> set[UUID]: ...


class Everybody:
    """Without consents to look at."""

    async def willing(self, tx: AsyncConnection, customers: Sequence[UUID]) -> set[UUID]:
        return set(customers)


class CustomerActs:
    """What verifications, consents and customers do about an SMS. There are no levels yet."""

    def __init__(
        self, verifications: Verifications, consents: Consents, customers: Customers
    ) -> None:
        self.confirm_by_reply = verifications.confirm_by_reply
        self.withdraw_messages = consents.withdraw_messages
        self.balance_for_phone = customers.balance_for_phone

    async def level_for_phone(self, phone: str) -> str | None:
        return None
