"""Consents' queries. Rows are only ever added."""

from __future__ import annotations

from collections.abc import Sequence
from uuid import UUID

import msgspec
from sqlalchemy import select, text
from sqlalchemy.ext.asyncio import AsyncConnection

from billing.consents.model import Action, Consent, Kind
from billing.consents.tables import consents

_NEWEST = text("""
SELECT DISTINCT ON (customer_id) customer_id, action FROM billing.consents
WHERE customer_id = ANY(:customers) AND kind = :kind
ORDER BY customer_id, at DESC, id DESC
""")
_COLUMNS = [consents.c[name] for name in Consent.__struct_fields__]


async def insert(tx: AsyncConnection, consent: Consent) -> None:
    await tx.execute(consents.insert().values(msgspec.structs.asdict(consent)))


async def of_customer(tx: AsyncConnection, customer_id: UUID) -> list[Consent]:
    """All of a customer's, newest first."""
    query = (
        select(*_COLUMNS)
        .where(consents.c.customer_id == customer_id)
        .order_by(consents.c.at.desc(), consents.c.id.desc())
    )
    return [Consent(**row._mapping) for row in await tx.execute(query)]


async def withdrawn(tx: AsyncConnection, customers: Sequence[UUID], kind: Kind) -> set[UUID]:
    """Who of these said no last."""
    found = await tx.execute(_NEWEST, {"customers": list(customers), "kind": kind})
    return {one for one, action in found if action == "withdrawn"}


async def standing(tx: AsyncConnection, customer_id: UUID, kind: Kind) -> Action | None:
    """What the customer said last about it; None: nothing yet."""
    query = (
        select(consents.c.action)
        .where(consents.c.customer_id == customer_id, consents.c.kind == kind)
        .order_by(consents.c.at.desc(), consents.c.id.desc())
        .limit(1)
    )
    found: Action | None = await tx.scalar(query)
    return found
