"""Names only one customer can have: a phone, cards, ids in other systems."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any
from uuid import UUID

from sqlalchemy import Select, select
from sqlalchemy.ext.asyncio import AsyncConnection

from billing.common.errors import Conflict
from billing.customers.tables import customer_cards, customer_external_ids, customers


@dataclass(frozen=True)
class Claims:
    """The names a customer wants, or is looked up by."""

    phone_hash: bytes | None
    cards: list[str]
    external_ids: dict[str, str]


@dataclass(frozen=True)
class Taken:
    """A name that a customer has: `what` in words, `pointer` into the request."""

    customer_id: UUID
    what: str
    pointer: str

    def conflict(self) -> Conflict:
        """What is told to whoever wants the name, too."""
        return Conflict(
            "customer_exists",
            f"Another customer has this {self.what}.",
            customer_id=str(self.customer_id),
            pointer=self.pointer,
        )


async def first_taken(
    tx: AsyncConnection, wanted: Claims, *, other_than: UUID | None = None
) -> Taken | None:
    """The first of the names that somebody (but `other_than`) has."""
    cards, ids = customer_cards.c, customer_external_ids.c
    if wanted.phone_hash is not None:
        by_phone = select(customers.c.id).where(customers.c.phone_hash == wanted.phone_hash)
        if (owner := await _owner(tx, by_phone, other_than)) is not None:
            return Taken(owner, "phone", "/phone")
    for index, card in enumerate(wanted.cards):
        by_card = select(cards.customer_id).where(cards.card == card)
        if (owner := await _owner(tx, by_card, other_than)) is not None:
            return Taken(owner, f"card ({card})", f"/cards/{index}")
    for system, value in wanted.external_ids.items():
        by_id = select(ids.customer_id).where(ids.system == system, ids.value == value)
        if (owner := await _owner(tx, by_id, other_than)) is not None:
            return Taken(owner, f"external id ({system}:{value})", f"/external_ids/{system}")
    return None


async def owners_of_phones(
    tx: AsyncConnection, phone_hashes: Sequence[bytes]
) -> dict[bytes, Taken]:
    """Those of the phones that somebody has."""
    of = customers.c
    rows = await tx.execute(select(of.phone_hash, of.id).where(of.phone_hash.in_(phone_hashes)))
    return {row.phone_hash: Taken(row.id, "phone", "/phone") for row in rows}


async def _owner(tx: AsyncConnection, query: Select[Any], other_than: UUID | None) -> UUID | None:
    owner: UUID | None = await tx.scalar(query)
    return None if owner == other_than else owner
