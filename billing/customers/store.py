"""Customers' queries."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import date, datetime
from uuid import UUID

import msgspec
from msgspec.structs import asdict
from sqlalchemy import delete, or_, select, update
from sqlalchemy.dialects import postgresql
from sqlalchemy.ext.asyncio import AsyncConnection

from billing.customers.model import Status
from billing.customers.tables import customer_cards, customer_external_ids, customers


class Row(msgspec.Struct, kw_only=True):
    """A customer as stored; its fields are the columns."""

    id: UUID
    status: Status
    phone_hash: bytes | None
    phone_masked: str
    phone_encrypted: bytes | None
    person_encrypted: bytes | None
    data_key: bytes | None
    channel: str | None
    store: str | None
    seller: str | None
    tags: list[str]
    created_at: datetime
    updated_at: datetime
    verified_at: datetime | None
    birth_date: date | None
    birth_date_since: datetime | None
    name_tokens: list[int] | None
    merged_into: UUID | None


OPEN = (
    "id", "status", "phone_masked", "channel", "store", "seller", "tags",
    "created_at", "updated_at", "verified_at", "birth_date_since", "merged_into",
)  # fmt: skip
"""The columns that are stored as they are."""

_COLUMNS = [customers.c[name] for name in Row.__struct_fields__]


async def insert(tx: AsyncConnection, row: Row) -> None:
    await tx.execute(customers.insert().values(asdict(row)))


async def insert_new(tx: AsyncConnection, rows: Sequence[Row]) -> set[UUID]:
    """Insert those whose phone nobody has; their ids."""
    if not rows:
        return set()
    # Sorted: two that want the same phones then wait for each other, not both.
    values = [asdict(row) for row in sorted(rows, key=lambda row: row.phone_hash or b"")]
    new = postgresql.insert(customers).on_conflict_do_nothing(index_elements=["phone_hash"])
    return set(await tx.scalars(new.returning(customers.c.id), values))


async def change(tx: AsyncConnection, row: Row) -> None:
    values = asdict(row)
    await tx.execute(update(customers).where(customers.c.id == row.id).values(values))


async def read(tx: AsyncConnection, customer_id: UUID, *, lock: bool = False) -> Row | None:
    query = select(*_COLUMNS).where(customers.c.id == customer_id)
    found = (await tx.execute(query.with_for_update() if lock else query)).one_or_none()
    return None if found is None else Row(**found._mapping)


async def read_duplicates(tx: AsyncConnection, customer_id: UUID) -> list[Row]:
    """Who was merged into the customer: the same person."""
    query = select(*_COLUMNS).where(customers.c.merged_into == customer_id)
    return [Row(**row._mapping) for row in await tx.execute(query.order_by(customers.c.id))]


async def lock_persons(tx: AsyncConnection, *ids: UUID) -> list[Row]:
    """The customers and who was merged into them, locked by id: whoever locks several does so."""
    C = customers.c
    is_theirs = or_(C.id.in_(ids), C.merged_into.in_(ids))
    query = select(*_COLUMNS).where(is_theirs).order_by(C.id).with_for_update()
    return [Row(**row._mapping) for row in await tx.execute(query)]


async def read_cards(tx: AsyncConnection, customer_id: UUID) -> list[str]:
    card = customer_cards.c.card
    rows = await tx.scalars(
        select(card).where(customer_cards.c.customer_id == customer_id).order_by(card)
    )
    return list(rows)


async def read_external_ids(tx: AsyncConnection, customer_id: UUID) -> dict[str, str]:
    ids = customer_external_ids
    rows = await tx.execute(
        select(ids.c.system, ids.c.value)
        .where(ids.c.customer_id == customer_id)
        .order_by(ids.c.system)
    )
    return {row.system: row.value for row in rows}


async def replace_cards(tx: AsyncConnection, customer_id: UUID, cards: list[str]) -> None:
    mine = customer_cards.c.customer_id == customer_id
    await tx.execute(delete(customer_cards).where(mine, customer_cards.c.card.not_in(cards)))
    kept = set(await tx.scalars(select(customer_cards.c.card).where(mine)))
    # Sorted: two requests that want the same cards then wait for each other, not both.
    rows = [{"card": card, "customer_id": customer_id} for card in sorted(set(cards) - kept)]
    if rows:
        await tx.execute(customer_cards.insert(), rows)


async def replace_external_ids(tx: AsyncConnection, customer_id: UUID, ids: dict[str, str]) -> None:
    table = customer_external_ids
    await tx.execute(delete(table).where(table.c.customer_id == customer_id))
    rows = [
        {"system": system, "value": value, "customer_id": customer_id}
        for system, value in sorted(ids.items())
    ]
    if rows:
        await tx.execute(table.insert(), rows)
