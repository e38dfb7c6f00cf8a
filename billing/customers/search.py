"""Looking people up by a part of their name."""

from __future__ import annotations

from typing import Final
from uuid import UUID

from sqlalchemy import text
from sqlalchemy.ext.asyncio import AsyncConnection

from billing.common.db import Database
from billing.common.errors import ValidationFailed
from billing.customers import names
from billing.customers.model import Profile
from billing.customers.records import Records
from billing.customers.vault import Vault

STEP: Final = 500

_FIND = text("""
SELECT id FROM billing.customers
WHERE name_tokens @> CAST(:tokens AS bigint[]) AND id > :after ORDER BY id LIMIT :limit
""")
_UNNAMED = text("""
SELECT id FROM billing.customers WHERE name_tokens IS NULL AND data_key IS NOT NULL
ORDER BY id LIMIT :limit FOR UPDATE SKIP LOCKED
""")
_NAME = text("UPDATE billing.customers SET name_tokens = :tokens WHERE id = :id")


class NameSearch:
    """Finds by the beginnings of words; nothing is decrypted but what is found."""

    def __init__(self, database: Database, vault: Vault) -> None:
        self._database = database
        self._vault = vault
        self._records = Records(vault)

    async def find(
        self, part: str, limit: int, after: UUID | None
    ) -> tuple[list[Profile], UUID | None]:
        """Up to `limit` customers behind `after`, in the order of registration, and behind whom
        to go on. Raises ValidationFailed for a part without letters."""
        words = names.words_of(part)
        if not words or max(map(len, words)) < names.SHORTEST:
            raise ValidationFailed.at("/query/name", "needs a word of two letters or more")
        values = {"tokens": self._vault.asked_tokens(part), "limit": limit}
        async with self._database.transaction() as tx:
            ids = list(await tx.scalars(_FIND, values | {"after": after or UUID(int=0)}))
            found = [await self._records.read(tx, one) for one in ids]
        # A token is of eight letters at most; what it let through beyond is left out.
        fitting = [one for one in found if names.fits(one.person.name, words)]
        return fitting, ids[-1] if len(ids) == limit else None

    async def index(self, limit: int = STEP) -> int:
        """Make up to `limit` customers findable who were written before there were tokens."""
        async with self._database.transaction() as tx:
            ids = list(await tx.scalars(_UNNAMED, {"limit": limit}))
            for one in ids:
                await self._index(tx, one)
        return len(ids)

    async def _index(self, tx: AsyncConnection, customer_id: UUID) -> None:
        profile = await self._records.read(tx, customer_id)
        tokens = self._vault.name_tokens(profile.person.name)
        await tx.execute(_NAME, {"id": customer_id, "tokens": tokens})
