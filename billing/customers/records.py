"""Customers as rows, sealed and opened, and what others are told of them: for use cases that
already have a transaction."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime
from uuid import UUID

from msgspec.structs import replace
from sqlalchemy.ext.asyncio import AsyncConnection

from billing.common.errors import Conflict, NotFound
from billing.customers import store
from billing.customers.model import Person, Profile, mask_phone
from billing.customers.vault import Vault
from billing.events.schemas import CustomerRegistered, CustomerVerified
from billing.events.store import New, record, record_many
from billing.scenarios.store import Verified, note_collected, note_verified

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

    async def insert_new(self, tx: AsyncConnection, profiles: Sequence[Profile]) -> set[UUID]:
        """Insert those whose phone nobody has, who have no other names; their ids."""
        return await store.insert_new(tx, [self._sealed(one, None) for one in profiles])

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


async def tell_registered(tx: AsyncConnection, profiles: Sequence[Profile]) -> None:
    """Tell of new customers; of those who are verified from the start that, too, and keep what is
    to be posted after it."""
    told: list[New] = []
    verified: list[Verified] = []
    for one in profiles:
        registered = CustomerRegistered(
            customer_id=one.id, status=one.status, channel=one.channel, store=one.store
        )
        told.append(New(registered, one.created_at))
        if one.verified_at is not None:
            told.append(New(_verified_event(one), one.verified_at))
            verified.append(_verified(one, one.verified_at))
    await record_many(tx, told)
    await note_verified(tx, verified)


async def tell_verified(tx: AsyncConnection, profile: Profile, at: datetime) -> None:
    """Tell that the phone was confirmed, and keep what is to be posted after it: the points, too,
    that may have been collected before."""
    await record(tx, _verified_event(profile), at)
    await note_verified(tx, [_verified(profile, at)])
    await note_collected(tx, _verified(profile, at))


def _verified_event(profile: Profile) -> CustomerVerified:
    return CustomerVerified(customer_id=profile.id, channel=profile.channel, store=profile.store)


def _verified(profile: Profile, at: datetime) -> Verified:
    return Verified(
        customer_id=profile.id,
        channel=profile.channel,
        store=profile.store,
        registered_at=profile.created_at,
        verified_at=at,
    )
