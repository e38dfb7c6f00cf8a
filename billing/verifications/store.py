"""Verifications' queries."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from datetime import datetime
from typing import Any
from uuid import UUID

import msgspec
from sqlalchemy import and_, case, or_, select, update
from sqlalchemy.ext.asyncio import AsyncConnection

from billing.verifications.model import Purpose, State, Verification
from billing.verifications.tables import verifications

_COLUMNS = [verifications.c[name] for name in Verification.__struct_fields__]
_C = verifications.c


async def insert(tx: AsyncConnection, new: Verification) -> None:
    await tx.execute(verifications.insert().values(msgspec.structs.asdict(new)))


async def read(
    tx: AsyncConnection, verification_id: UUID, *, lock: bool = False
) -> Verification | None:
    query = select(*_COLUMNS).where(_C.id == verification_id)
    return await _one(tx, query.with_for_update() if lock else query)


async def read_open(
    tx: AsyncConnection, customer_id: UUID, purpose: Purpose
) -> Verification | None:
    """The one that is open, locked."""
    query = select(*_COLUMNS).where(
        _C.customer_id == customer_id, _C.purpose == purpose, _C.state == "open"
    )
    return await _one(tx, query.with_for_update())


async def open_of_phone(
    tx: AsyncConnection, phone_hash: bytes, now: datetime
) -> list[Verification]:
    """Those that a reply from the phone may be meant for; two, if it is not clear which."""
    query = select(*_COLUMNS).where(
        _C.phone_hash == phone_hash,
        _C.state == "open",
        _C.expires_at > now,
        _C.attempts < _C.max_attempts,
    )
    return [_of(row) for row in await tx.execute(query.limit(2))]


async def by_provider_ref(tx: AsyncConnection, ref: str) -> Verification | None:
    return await _one(tx, select(*_COLUMNS).where(_C.provider_ref == ref))


async def of_customers(tx: AsyncConnection, customers: Sequence[UUID]) -> list[Verification]:
    """All there were of these, oldest first."""
    query = select(*_COLUMNS).where(_C.customer_id.in_(customers)).order_by(_C.created_at, _C.id)
    return [_of(row) for row in await tx.execute(query)]


async def attempt(tx: AsyncConnection, verification_id: UUID, now: datetime) -> Verification | None:
    """Count an attempt, if there is one left; before anything is compared. The row locks: of many
    attempts at once no more are counted than there may be. What is confirmed counts none: who
    repeats the last attempt, which was right, hears the same again."""
    is_open = _C.state == "open"
    query = (
        update(verifications)
        .where(
            _C.id == verification_id,
            or_(_C.state == "confirmed", and_(is_open, _C.attempts < _C.max_attempts)),
            _C.expires_at > now,
        )
        .values(attempts=case((is_open, _C.attempts + 1), else_=_C.attempts))
        .returning(*_COLUMNS)
    )
    return await _one(tx, query)


async def take_ref(tx: AsyncConnection, ref: str) -> None:
    """Whoever had a provider's ref has it no longer, and is over if it was open."""
    over: State = "superseded"
    await tx.execute(
        update(verifications)
        .where(_C.provider_ref == ref)
        .values(provider_ref=None, state=case((_C.state == "open", over), else_=_C.state))
    )


async def end_unconfirmable(tx: AsyncConnection, verification_id: UUID) -> None:
    """End one that a provider did not begin, unless it was begun before and may be confirmed."""
    over: State = "superseded"
    await tx.execute(
        update(verifications)
        .where(
            _C.id == verification_id,
            _C.state == "open",
            _C.provider_ref.is_(None),
            _C.code_mac.is_(None),
        )
        .values(state=over)
    )


async def change(tx: AsyncConnection, verification_id: UUID, **values: Any) -> None:
    await tx.execute(update(verifications).where(_C.id == verification_id).values(values))


async def end_exhausted(tx: AsyncConnection, verification_id: UUID) -> None:
    """Write down that the last attempt was wrong, too."""
    await tx.execute(
        update(verifications)
        .where(_C.id == verification_id, _C.state == "open", _C.attempts >= _C.max_attempts)
        .values(state="failed")
    )


async def forget_person(tx: AsyncConnection, customer_id: UUID) -> None:
    """Blank what tells of an erased person; what is open is over."""
    mine = _C.customer_id == customer_id
    over: State = "superseded"
    await tx.execute(update(verifications).where(mine, _C.state == "open").values(state=over))
    blank = {
        "phone_hash": None,
        "phone_masked": "***",
        "phone_encrypted": None,
        "text_encrypted": None,
        "code_mac": None,
    }
    await tx.execute(update(verifications).where(mine).values(blank))


async def _one(tx: AsyncConnection, query: Any) -> Verification | None:
    row = (await tx.execute(query)).one_or_none()
    return None if row is None else _of(row)


def _of(row: Any) -> Verification:
    fields: Mapping[str, Any] = row._mapping
    return Verification(**fields)
