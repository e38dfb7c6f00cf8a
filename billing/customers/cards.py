"""A customer's cards, one at a time: two tills that add cards do not undo each other."""

from __future__ import annotations

from uuid import UUID

from sqlalchemy import delete, select, update
from sqlalchemy.ext.asyncio import AsyncConnection

from billing.common.db import Database
from billing.common.errors import NotFound, ValidationFailed
from billing.customers.claims import Claims
from billing.customers.records import Records, must_be_changeable
from billing.customers.schemas import CardOut
from billing.customers.service import Customers
from billing.customers.tables import customer_cards
from billing.customers.vault import Vault
from ledger.group import Clock
from ledger.service import utc_now

MAX_CARDS = 50

_C = customer_cards.c


class Cards:
    """The use cases; each is one transaction."""

    def __init__(
        self, database: Database, vault: Vault, customers: Customers, *, clock: Clock = utc_now
    ) -> None:
        self._database = database
        self._customers = customers
        self._records = Records(vault)
        self._clock = clock

    async def add(self, customer_id: UUID, card: str) -> CardOut:
        """A further card; again, the one there is. Raises NotFound, Conflict."""

        async def write(tx: AsyncConnection) -> CardOut:
            there = await self._mine(tx, customer_id)
            known = next((one for one in there if one.card == card), None)
            if known is not None:
                return known
            if len(there) >= MAX_CARDS:
                raise ValidationFailed.at("/card", f"would be one of more than {MAX_CARDS}")
            await tx.execute(customer_cards.insert().values(card=card, customer_id=customer_id))
            return CardOut(card, None)

        return await self._customers.claiming(Claims(None, [card], {}), write, customer_id)

    async def block(self, customer_id: UUID, card: str, *, blocked: bool) -> CardOut:
        """Block a lost card, or take that back. Raises NotFound, Conflict."""
        async with self._database.transaction() as tx:
            there = await self._mine(tx, customer_id)
            known = next((one for one in there if one.card == card), None)
            if known is None:
                raise NotFound("The customer has no such card.")
            if blocked == (known.blocked_at is not None):
                return known
            at = self._clock() if blocked else None
            await tx.execute(update(customer_cards).where(_C.card == card).values(blocked_at=at))
            return CardOut(card, at)

    async def remove(self, customer_id: UUID, card: str) -> None:
        """Take a card from the customer; again, nothing happens. Raises NotFound, Conflict."""
        async with self._database.transaction() as tx:
            await self._mine(tx, customer_id)
            await tx.execute(
                delete(customer_cards).where(_C.card == card, _C.customer_id == customer_id)
            )

    async def of_customer(self, customer_id: UUID) -> list[CardOut]:
        """Raises NotFound."""
        async with self._database.transaction() as tx:
            await self._records.row(tx, customer_id)
            return await _cards(tx, customer_id)

    async def _mine(self, tx: AsyncConnection, customer_id: UUID) -> list[CardOut]:
        must_be_changeable(await self._records.read(tx, customer_id, lock=True))
        return await _cards(tx, customer_id)


async def _cards(tx: AsyncConnection, customer_id: UUID) -> list[CardOut]:
    query = select(_C.card, _C.blocked_at).where(_C.customer_id == customer_id).order_by(_C.card)
    return [CardOut(row.card, row.blocked_at) for row in await tx.execute(query)]
