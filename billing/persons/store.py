"""Erasing: everything that tells who somebody was, in one transaction."""

from __future__ import annotations

from datetime import datetime
from uuid import UUID

from sqlalchemy import delete, select, text, update
from sqlalchemy.ext.asyncio import AsyncConnection

from billing.customers.records import ERASED
from billing.customers.tables import customer_cards, customer_external_ids, customers, erasures

_FORGET_PHONE = text("DELETE FROM billing.verification_phones WHERE phone_hash = :phone")
_FORGET_LISTS = text("DELETE FROM billing.campaign_audience WHERE customer_id = :id")


async def erased_at(tx: AsyncConnection, customer_id: UUID) -> datetime | None:
    found: datetime | None = await tx.scalar(
        select(erasures.c.at).where(erasures.c.customer_id == customer_id)
    )
    return found


async def blank(tx: AsyncConnection, customer_id: UUID, at: datetime) -> None:
    """Without the data key everything sealed under it is noise, in backups of the table, too."""
    phone = await tx.scalar(select(customers.c.phone_hash).where(customers.c.id == customer_id))
    if phone is not None:
        await tx.execute(_FORGET_PHONE, {"phone": phone})
    await tx.execute(_FORGET_LISTS, {"id": customer_id})
    for names in (customer_cards, customer_external_ids):
        await tx.execute(delete(names).where(names.c.customer_id == customer_id))
    await tx.execute(
        update(customers)
        .where(customers.c.id == customer_id)
        .values(
            status="blocked",
            phone_hash=None,
            phone_masked=ERASED,
            phone_encrypted=None,
            person_encrypted=None,
            data_key=None,
            birth_date=None,
            birth_date_since=None,
            name_tokens=None,
            tags=[],
            seller=None,
            updated_at=at,
            erased_at=at,
        )
    )


async def note(
    tx: AsyncConnection, customer_id: UUID, at: datetime, reason: str, author: str
) -> None:
    await tx.execute(
        erasures.insert().values(customer_id=customer_id, at=at, reason=reason, author=author)
    )
