"""Consents' queries. Rows are only ever added."""

from __future__ import annotations

from collections.abc import Sequence
from uuid import UUID

import msgspec
from sqlalchemy import select
from sqlalchemy.ext.asyncio import AsyncConnection

from billing.consents.model import Action, Consent, Kind
from billing.consents.tables import consents

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
    newest = (
        select(consents.c.customer_id, consents.c.action)
        .distinct(consents.c.customer_id)
        .where(consents.c.customer_id.in_(customers), consents.c.kind == kind)
        .order_by(consents.c.customer_id, consents.c.at.desc(), consents.c.id.desc())
    )
    return {one for one, action in await tx.execute(newest) if action == "withdrawn"}


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
