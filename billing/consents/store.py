"""Consents' queries. Rows are only ever added."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final
from uuid import UUID

import msgspec
from sqlalchemy import select, text
from sqlalchemy.ext.asyncio import AsyncConnection

from billing.consents.model import Action, Consent, Kind
from billing.consents.tables import consents

_PEOPLE: Final = """
WITH asked AS (
    SELECT id, coalesce(merged_into, id) AS person FROM billing.customers WHERE id = ANY(:customers)
), called AS (
    SELECT id, person AS name FROM asked
    UNION ALL SELECT a.id, d.id FROM asked a JOIN billing.customers d ON d.merged_into = a.person
)
"""
"""Under which names each of the asked was a customer: one, unless there was a merge."""
_NEWEST = text(f"""{_PEOPLE}
SELECT DISTINCT ON (p.id) p.id, c.action
FROM called p JOIN billing.consents c ON c.customer_id = p.name AND c.kind = :kind
ORDER BY p.id, c.at DESC, c.id DESC
""")
_OPTED_OUT = text(f"""{_PEOPLE}
SELECT DISTINCT p.id FROM called p JOIN billing.customers c ON c.id = p.name
JOIN billing.message_opt_outs o ON o.phone_hash = c.phone_hash
""")
_COLUMNS = [consents.c[name] for name in Consent.__struct_fields__]


async def insert(tx: AsyncConnection, consent: Consent) -> None:
    await tx.execute(consents.insert().values(msgspec.structs.asdict(consent)))


async def of_customers(tx: AsyncConnection, customers: Sequence[UUID]) -> list[Consent]:
    """All of theirs, newest first."""
    query = (
        select(*_COLUMNS)
        .where(consents.c.customer_id.in_(customers))
        .order_by(consents.c.at.desc(), consents.c.id.desc())
    )
    return [Consent(**row._mapping) for row in await tx.execute(query)]


async def withdrawn(tx: AsyncConnection, customers: Sequence[UUID], kind: Kind) -> set[UUID]:
    """Who of these said no last, under whatever name."""
    found = await tx.execute(_NEWEST, {"customers": list(customers), "kind": kind})
    return {one for one, action in found if action == "withdrawn"}


async def opted_out(tx: AsyncConnection, customers: Sequence[UUID]) -> set[UUID]:
    """Who of these wrote STOP, from whatever phone of theirs."""
    return set(await tx.scalars(_OPTED_OUT, {"customers": list(customers)}))


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
