"""Who is the same person as another: by the key, its owner, or its name when it has no owner."""

from __future__ import annotations

from collections.abc import Iterable
from uuid import UUID

from billing.common.auth import Principal, person_of
from billing.common.db import Database
from billing.keys.store import read_persons


async def had_a_hand(
    database: Database, principal: Principal, hands: Iterable[UUID | None], name: str | None = None
) -> bool:
    """Whether one of the keys `hands` is the caller's, or another key of the same person.

    `name` is whose hand it was when no such key is kept.
    """
    keys = [one for one in hands if one is not None]
    if principal.key_id in keys:
        return True
    persons = set((await read_persons(database, keys)).values())
    if not persons and name is not None:
        persons.add(person_of(None, name))
    return principal.person in persons
