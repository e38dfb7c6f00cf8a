"""Finding a customer at the till: always fresh, never decrypting, many at once."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TypeVar
from uuid import UUID

from billing.common.batch import Batcher, Load
from billing.common.db import Database
from billing.common.errors import NotFound, ValidationFailed
from billing.customers.model import Customer, normalise_phone
from billing.customers.schemas import CustomerRef
from billing.customers.vault import Vault

K = TypeVar("K", UUID, bytes, str)

# In the order in which `Customer` takes them.
_FIELDS = ", ".join(f"c.{name}" for name in Customer.__struct_fields__)
_BY_ID = f"SELECT c.id AS key, {_FIELDS} FROM billing.customers c WHERE c.id = ANY($1::uuid[])"  # noqa: S608
_BY_PHONE = f"""
SELECT c.phone_hash AS key, {_FIELDS}
  FROM billing.customers c
 WHERE c.phone_hash = ANY($1::bytea[])
"""  # noqa: S608
_BY_CARD = f"""
SELECT k.card AS key, {_FIELDS}
  FROM billing.customer_cards k
  JOIN billing.customers c ON c.id = k.customer_id
 WHERE k.card = ANY($1::text[])
"""  # noqa: S608


class CustomerDirectory:
    """Looks customers up as committed at the time of the call, through few queries."""

    def __init__(self, database: Database, vault: Vault, default_region: str) -> None:
        self._vault = vault
        self._region = default_region
        self._by_id: Batcher[UUID, Customer] = Batcher(_loader(database, _BY_ID, UUID))
        self._by_phone: Batcher[bytes, Customer] = Batcher(_loader(database, _BY_PHONE, bytes))
        self._by_card: Batcher[str, Customer] = Batcher(_loader(database, _BY_CARD, str))

    async def resolve(
        self,
        *,
        customer_id: UUID | None = None,
        phone: str | None = None,
        card: str | None = None,
        pointer: str = "/customer",
    ) -> Customer | None:
        """The customer of the one name given, or None.

        `pointer` is where the name stood in the request. Raises ValidationFailed for what cannot
        be a phone, Overloaded when the database is away.
        """
        if customer_id is not None:
            return await self._by_id.get(customer_id)
        if phone is not None:
            try:
                normal = normalise_phone(phone, self._region)
            except ValueError as error:
                raise ValidationFailed.at(f"{pointer}/phone", str(error)) from None
            return await self._by_phone.get(self._vault.phone_hash(normal))
        if card is not None:
            return await self._by_card.get(card)
        raise ValidationFailed.at(pointer, "needs one of customer_id, phone, card")

    async def require(self, ref: CustomerRef, pointer: str = "/customer") -> Customer:
        """The customer a request names. Raises NotFound, and what `resolve` raises."""
        found = await self.resolve(
            customer_id=ref.customer_id, phone=ref.phone, card=ref.card, pointer=pointer
        )
        if found is None:
            raise NotFound(f"No customer has this {ref.kind}; register the customer first.")
        return found


async def customers_by_id(database: Database, ids: list[UUID]) -> Mapping[UUID, Customer]:
    """Those of `ids` that exist, without a directory: no phone is looked up."""
    return await _loader(database, _BY_ID, UUID)(ids)


def _loader(database: Database, query: str, key: type[K]) -> Load[K, Customer]:
    async def load(keys: list[K]) -> Mapping[K, Customer]:
        rows = await database.fetch(query, keys)
        return {key: Customer(*fields) for key, *fields in rows}

    return load
