"""What a customer's SMS may ask the rest of the service for."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, Literal, Protocol
from uuid import UUID

import msgspec
from sqlalchemy import text
from sqlalchemy.ext.asyncio import AsyncConnection

from billing.customers.vault import Vault
from ledger import reads
from ledger.service import Ledger

Confirmed = Literal["confirmed", "wrong", "none"]
"""`none`: no verification of this phone is open, or more than one is and none was named."""


class PhoneBalance(msgspec.Struct, frozen=True, kw_only=True):
    """What the owner of a phone has, in 1/100 points."""

    customer_id: UUID
    available: int
    promo: int
    deferred: int
    level: str | None = None


class InboundActs(Protocol):
    """Each acts in the transaction in which the SMS is noted as dealt with. `phone` is E.164."""

    async def confirm_by_reply(
        self, tx: AsyncConnection, *, phone: str, code: str | None, inbound_id: UUID
    ) -> Confirmed:
        """The phone's owner told a code, or (None) said yes."""

    async def withdraw_messages(
        self, tx: AsyncConnection, *, phone: str, via: str, inbound_id: UUID
    ) -> None:
        """The phone's owner wants no more messages."""

    async def balance_for_phone(self, tx: AsyncConnection, *, phone: str) -> PhoneBalance | None:
        """None when nobody has this phone, or may not be told."""


class Willing(Protocol):
    """Who of these customers may be sent notices, beside those who opted out by phone."""

    async def willing(self, tx: AsyncConnection, customers: Sequence[UUID]) -> set[UUID]: ...


class Everybody:
    """Without consents to look at."""

    async def willing(self, tx: AsyncConnection, customers: Sequence[UUID]) -> set[UUID]:
        return set(customers)


_BY_PHONE = text("SELECT id, status FROM billing.customers WHERE phone_hash = :hash")


class LedgerActs:
    """Balances from the ledger. It knows of no verifications and no consents."""

    def __init__(self, ledger: Ledger, vault: Vault) -> None:
        self._ledger = ledger
        self._vault = vault

    async def confirm_by_reply(self, tx: AsyncConnection, **asked: Any) -> Confirmed:
        return "none"

    async def withdraw_messages(self, tx: AsyncConnection, **asked: Any) -> None:
        return None

    async def balance_for_phone(self, tx: AsyncConnection, *, phone: str) -> PhoneBalance | None:
        values = {"hash": self._vault.phone_hash(phone)}
        found = (await tx.execute(_BY_PHONE, values)).one_or_none()
        if found is None or found.status != "verified":
            return None
        state = await reads.balance_now(self._ledger, found.id)
        return PhoneBalance(
            customer_id=found.id,
            available=state.available,
            promo=state.promo,
            deferred=sum(lot.deferred for lot in state.lots.values()),
        )
