"""Finding a customer at the till: always fresh, never decrypting, many at once."""

from __future__ import annotations

from collections.abc import AsyncIterator, Iterable, Mapping
from contextlib import asynccontextmanager, suppress
from contextvars import ContextVar
from typing import Any, TypeVar
from uuid import UUID

from billing.common.batch import Batcher, Load
from billing.common.db import Database
from billing.common.errors import NotFound, Overloaded, ValidationFailed
from billing.customers.model import STORED, Customer, normalise_phone
from billing.customers.schemas import CustomerRef
from billing.customers.vault import Vault

K = TypeVar("K", UUID, bytes, str)

# In the order in which `Customer` takes them.
_FIELDS = ", ".join(f"c.{name}" for name in STORED)
# Who was merged into another customer is found there, by whatever name.
_WHOLE = "billing.customers c ON c.id = coalesce(n.merged_into, n.id)"
_BY_ID = f"""
SELECT n.id AS key, {_FIELDS}
  FROM billing.customers n JOIN {_WHOLE}
 WHERE n.id = ANY($1::uuid[])
"""  # noqa: S608
_BY_PHONE = f"""
SELECT n.phone_hash AS key, {_FIELDS}
  FROM billing.customers n JOIN {_WHOLE}
 WHERE n.phone_hash = ANY($1::bytea[])
"""  # noqa: S608
_BY_CARD = f"""
SELECT k.card AS key, {_FIELDS}, k.blocked_at IS NOT NULL AS card_blocked
  FROM billing.customer_cards k
  JOIN billing.customers n ON n.id = k.customer_id JOIN {_WHOLE}
 WHERE k.card = ANY($1::text[])
"""  # noqa: S608

Foreseen = Mapping[CustomerRef, Customer | None]

_foreseen: ContextVar[Foreseen | None] = ContextVar("foreseen customers", default=None)


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
        look_up, key = self._named(customer_id, phone, card, pointer)
        return await look_up.get(key)

    def _named(
        self, customer_id: UUID | None, phone: str | None, card: str | None, pointer: str
    ) -> tuple[Batcher[Any, Customer], UUID | bytes | str]:
        """Where a customer of this name is looked up, and by which key."""
        if customer_id is not None:
            return self._by_id, customer_id
        if phone is not None:
            try:
                normal = normalise_phone(phone, self._region)
            except ValueError as error:
                raise ValidationFailed.at(f"{pointer}/phone", str(error)) from None
            return self._by_phone, self._vault.phone_hash(normal)
        if card is not None:
            return self._by_card, card
        raise ValidationFailed.at(pointer, "needs one of customer_id, phone, card")

    async def require(self, ref: CustomerRef, pointer: str = "/customer") -> Customer:
        """The customer a request names. Raises NotFound, and what `resolve` raises."""
        foreseen = _foreseen.get()
        if foreseen is not None and ref in foreseen:
            found = foreseen[ref]
        else:
            found = await self.resolve(
                customer_id=ref.customer_id, phone=ref.phone, card=ref.card, pointer=pointer
            )
        if found is None:
            raise NotFound(f"No customer has this {ref.kind}; register the customer first.")
        return found

    @asynccontextmanager
    async def foreseeing(self, refs: Iterable[CustomerRef]) -> AsyncIterator[None]:
        """Inside, `require` knows the customers of `refs`, as committed on entering, at once.

        What cannot be found out beforehand `require` tries again, and says why it cannot.
        """
        token = _foreseen.set(await self._foresee(refs))
        try:
            yield
        finally:
            _foreseen.reset(token)

    async def _foresee(self, refs: Iterable[CustomerRef]) -> Foreseen:
        with suppress(Overloaded):
            found = await self.find_many(refs)
            return {ref: one for ref, one in found.items() if not isinstance(one, ValidationFailed)}
        return {}

    async def find_many(
        self, refs: Iterable[CustomerRef]
    ) -> dict[CustomerRef, Customer | ValidationFailed | None]:
        """The customers of `refs`, in few queries; ValidationFailed for what cannot be a phone.
        Raises Overloaded."""
        all_found: dict[CustomerRef, Customer | ValidationFailed | None] = {}
        wanted: dict[Batcher[Any, Customer], dict[CustomerRef, UUID | bytes | str]] = {}
        for ref in refs:
            try:
                look_up, key = self._named(ref.customer_id, ref.phone, ref.card, "")
            except ValidationFailed as failed:
                all_found[ref] = failed
            else:
                wanted.setdefault(look_up, {})[ref] = key
        for look_up, keys in wanted.items():
            found = await look_up.get_many(keys.values())
            all_found |= {ref: found.get(key) for ref, key in keys.items()}
        return all_found


async def customers_by_id(database: Database, ids: list[UUID]) -> Mapping[UUID, Customer]:
    """Those of `ids` that exist, without a directory: no phone is looked up."""
    return await _loader(database, _BY_ID, UUID)(ids)


def _loader(database: Database, query: str, key: type[K]) -> Load[K, Customer]:
    async def load(keys: list[K]) -> Mapping[K, Customer]:
        rows = await database.fetch(query, keys)
        return {key: Customer(*fields) for key, *fields in rows}

    return load
