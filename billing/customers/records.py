"""Customers as rows, sealed and opened, and what others are told of them: for use cases that
already have a transaction."""

from __future__ import annotations

from datetime import datetime
from uuid import UUID

from msgspec.structs import replace
from sqlalchemy.ext.asyncio import AsyncConnection

from billing.common.errors import Conflict, NotFound
from billing.customers import store
from billing.customers.model import Person, Profile, mask_phone
from billing.customers.vault import Vault
from billing.events.schemas import CustomerRegistered, CustomerVerified
from billing.events.store import record
from billing.scenarios.store import note_verified

ERASED = "***"
"""The masked phone of who was erased."""


class Records:
    """Reads and writes customers whole."""

    def __init__(self, vault: Vault) -> None:
        self.vault = vault

    async def read(self, tx: AsyncConnection, customer_id: UUID, *, lock: bool = False) -> Profile:
        """Raises NotFound."""
        return await self.open(tx, await self.row(tx, customer_id, lock=lock))

    async def row(self, tx: AsyncConnection, customer_id: UUID, *, lock: bool = False) -> store.Row:
        """The customer as stored. Raises NotFound."""
        row = await store.read(tx, customer_id, lock=lock)
        if row is None:
            raise NotFound(f"There is no customer {customer_id}.")
        return row

    async def open(self, tx: AsyncConnection, row: store.Row) -> Profile:
        """What a row says, names included; of who was erased, what is left."""
        phone, person = None, Person()
        if row.data_key and row.phone_encrypted and row.person_encrypted:
            phone, person = self.vault.unseal(
                row.id, row.data_key, row.phone_encrypted, row.person_encrypted
            )
        return Profile(
            phone=phone,
            person=person,
            cards=await store.read_cards(tx, row.id),
            external_ids=await store.read_external_ids(tx, row.id),
            **{name: getattr(row, name) for name in store.OPEN},
        )

    async def insert(self, tx: AsyncConnection, profile: Profile) -> None:
        await store.insert(tx, self._sealed(profile, None))
        await self._write_names(tx, profile)

    async def change(self, tx: AsyncConnection, profile: Profile) -> None:
        """Write a profile that was read under lock. Raises Conflict for who was erased."""
        data_key = (await self.row(tx, profile.id)).data_key
        if data_key is None:
            raise Conflict("customer_erased", "The customer's personal data was erased.")
        await store.change(tx, self._sealed(profile, data_key))
        await self._write_names(tx, profile)

    def _sealed(self, profile: Profile, data_key: bytes | None) -> store.Row:
        if profile.phone is None:
            raise ValueError("a customer without a phone is not written")
        sealed = self.vault.seal(profile.id, profile.phone, profile.person, data_key)
        masked = replace(profile, phone_masked=mask_phone(profile.phone))
        return store.Row(
            phone_hash=sealed.phone_hash,
            phone_encrypted=sealed.phone_encrypted,
            person_encrypted=sealed.person_encrypted,
            data_key=sealed.data_key,
            name_tokens=sealed.name_tokens,
            birth_date=profile.person.birth_date,
            **{name: getattr(masked, name) for name in store.OPEN},
        )

    async def _write_names(self, tx: AsyncConnection, profile: Profile) -> None:
        await store.replace_cards(tx, profile.id, profile.cards)
        await store.replace_external_ids(tx, profile.id, profile.external_ids)


def must_be_changeable(profile: Profile) -> None:
    """Raise Conflict for who was merged into another customer, or erased."""
    if profile.merged_into is not None:
        raise Conflict(
            "customer_merged",
            f"The customer was merged into {profile.merged_into}; name that one instead.",
            customer_id=str(profile.merged_into),
        )
    if profile.phone is None:
        raise Conflict("customer_erased", "The customer's personal data was erased.")


async def tell_registered(tx: AsyncConnection, profile: Profile) -> None:
    data = CustomerRegistered(
        customer_id=profile.id, status=profile.status, channel=profile.channel, store=profile.store
    )
    await record(tx, data, profile.created_at)


async def tell_verified(
    tx: AsyncConnection, profile: Profile, at: datetime, *, waited: bool
) -> None:
    """Tell that the phone was confirmed, and keep what is to be posted after it: with `waited`
    the points, too, that may have been collected before."""
    data = CustomerVerified(customer_id=profile.id, channel=profile.channel, store=profile.store)
    await record(tx, data, at)
    await note_verified(
        tx,
        profile.id,
        channel=profile.channel,
        store=profile.store,
        registered_at=profile.created_at,
        verified_at=at,
        waited=waited,
    )
