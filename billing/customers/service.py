"""Registering, changing and showing customers."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Sequence
from datetime import datetime
from typing import Any
from uuid import UUID

import msgspec
from msgspec import UNSET
from sqlalchemy.exc import IntegrityError
from sqlalchemy.ext.asyncio import AsyncConnection

from billing.catalog.service import Catalog
from billing.common.auth import Principal
from billing.common.db import Database
from billing.common.errors import Conflict, Forbidden, NotFound, ValidationFailed
from billing.common.wire import composed
from billing.customers import claims, store
from billing.customers.claims import Claims
from billing.customers.model import (
    Person,
    Profile,
    Status,
    check_birth_date,
    check_status_change,
    mask_phone,
    normalise_phone,
)
from billing.customers.schemas import MAX_EXTERNAL_IDS, CustomerIn, CustomerPatch
from billing.customers.vault import Vault
from billing.events.schemas import CustomerRegistered, CustomerVerified
from billing.events.store import record
from billing.scenarios.store import note_verified
from ledger.group import Clock
from ledger.ids import uuid7
from ledger.service import utc_now

_KEPT = ("channel", "store", "seller", "tags")


class Customers:
    """The use cases; each is one transaction."""

    def __init__(
        self,
        database: Database,
        vault: Vault,
        catalog: Catalog,
        default_region: str,
        *,
        clock: Clock = utc_now,
    ) -> None:
        self._database = database
        self._vault = vault
        self._catalog = catalog
        self._region = default_region
        self._clock = clock

    async def register(self, principal: Principal, new: CustomerIn) -> Profile:
        """A new customer. Raises Conflict customer_exists with the owner's `customer_id`."""
        if new.status != "unverified" and principal.role != "admin":
            raise Forbidden(f"Only an admin may register a customer as {new.status}.")
        channel, shop = await self._catalog.place(*principal.bind(new.channel, new.store))
        now = self._clock()
        profile = Profile(
            id=uuid7(),
            phone=self._phone(new.phone),
            status=new.status,
            person=_person(Person(), msgspec.structs.asdict(new)),
            channel=channel,
            store=shop,
            seller=new.seller,
            tags=_distinct(new.tags),
            cards=_distinct(new.cards),
            external_ids={str(k): str(v) for k, v in new.external_ids.items()},
            created_at=now,
            updated_at=now,
            verified_at=now if new.status == "verified" else None,
            birth_date_since=None if new.birth_date is None else now,
        )

        async def write(tx: AsyncConnection) -> Profile:
            await store.insert(tx, self._row(profile))
            await self._write_names(tx, profile)
            await _tell_registered(tx, profile)
            await _note_verified(tx, profile)
            return profile

        return await self._claiming(self._claims(profile), write)

    async def change(
        self, principal: Principal, customer_id: UUID, patch: CustomerPatch
    ) -> Profile:
        """Change what `patch` names. A new phone has to be confirmed again (B20)."""
        given = {
            name: value
            for name, value in msgspec.structs.asdict(patch).items()
            if value is not UNSET
        }
        place = principal.bind(given.get("channel"), given.get("store"))
        if given.get("channel") or given.get("store"):
            given["channel"], given["store"] = await self._catalog.place(*place)
        if "phone" in given:
            given["phone"] = self._phone(given["phone"])
        wanted = Claims(
            self._vault.phone_hash(given["phone"]) if "phone" in given else None,
            _distinct(given.get("cards", [])),
            {k: v for k, v in given.get("external_ids", {}).items() if v is not None},
        )

        async def write(tx: AsyncConnection) -> Profile:
            old = await self._read(tx, customer_id, lock=True)
            new = _changed(principal, old, given, self._clock())
            await store.change(tx, self._row(new))
            await self._write_names(tx, new)
            if new.verified_at != old.verified_at:
                await _note_verified(tx, new)
            return new

        return await self._claiming(wanted, write, customer_id)

    async def get(self, customer_id: UUID) -> Profile:
        """Raises NotFound."""
        async with self._database.transaction() as tx:
            return await self._read(tx, customer_id)

    async def find(
        self, *, phone: str | None, card: str | None, external_id: tuple[str, str] | None
    ) -> Profile | None:
        """The customer who has it."""
        wanted = Claims(
            None if phone is None else self._vault.phone_hash(self._phone(phone, "/query/phone")),
            [] if card is None else [composed(card)],
            {} if external_id is None else {composed(external_id[0]): composed(external_id[1])},
        )
        async with self._database.transaction() as tx:
            claim = await claims.first_taken(tx, wanted)
            return None if claim is None else await self._read(tx, claim.customer_id)

    async def _read(self, tx: AsyncConnection, customer_id: UUID, *, lock: bool = False) -> Profile:
        row = await store.read(tx, customer_id, lock=lock)
        if row is None:
            raise NotFound(f"There is no customer {customer_id}.")
        phone, person = self._vault.unseal(
            row.id, row.data_key, row.phone_encrypted, row.person_encrypted
        )
        return Profile(
            phone=phone,
            person=person,
            cards=await store.read_cards(tx, customer_id),
            external_ids=await store.read_external_ids(tx, customer_id),
            **{name: getattr(row, name) for name in store.OPEN},
        )

    def _row(self, profile: Profile) -> store.Row:
        sealed = self._vault.seal(profile.id, profile.phone, profile.person)
        return store.Row(
            phone_masked=mask_phone(profile.phone),
            phone_hash=sealed.phone_hash,
            phone_encrypted=sealed.phone_encrypted,
            person_encrypted=sealed.person_encrypted,
            data_key=sealed.data_key,
            birth_date=profile.person.birth_date,
            **{name: getattr(profile, name) for name in store.OPEN},
        )

    async def _write_names(self, tx: AsyncConnection, profile: Profile) -> None:
        await store.replace_cards(tx, profile.id, profile.cards)
        await store.replace_external_ids(tx, profile.id, profile.external_ids)

    def _claims(self, profile: Profile) -> Claims:
        return Claims(self._vault.phone_hash(profile.phone), profile.cards, profile.external_ids)

    async def _claiming(
        self,
        wanted: Claims,
        write: Callable[[AsyncConnection], Awaitable[Profile]],
        customer_id: UUID | None = None,
    ) -> Profile:
        """Run `write` in a transaction; when a unique name was taken, say which and by whom."""
        try:
            async with self._database.transaction() as tx:
                return await write(tx)
        except IntegrityError as error:
            async with self._database.transaction() as tx:
                taken = await claims.first_taken(tx, wanted, other_than=customer_id)
            if taken is None:
                raise
            raise Conflict(
                "customer_exists",
                f"Another customer has this {taken.what}.",
                customer_id=str(taken.customer_id),
                pointer=taken.pointer,
            ) from error

    def _phone(self, text: str, pointer: str = "/phone") -> str:
        try:
            return normalise_phone(text, self._region)
        except ValueError as error:
            raise ValidationFailed.at(pointer, str(error)) from None


async def _tell_registered(tx: AsyncConnection, profile: Profile) -> None:
    data = CustomerRegistered(
        customer_id=profile.id, status=profile.status, channel=profile.channel, store=profile.store
    )
    await record(tx, data, profile.created_at)


async def _note_verified(tx: AsyncConnection, profile: Profile) -> None:
    if profile.verified_at is not None:
        data = CustomerVerified(
            customer_id=profile.id, channel=profile.channel, store=profile.store
        )
        await record(tx, data, profile.verified_at)
        await note_verified(
            tx,
            profile.id,
            channel=profile.channel,
            store=profile.store,
            registered_at=profile.created_at,
            verified_at=profile.verified_at,
        )


def _changed(principal: Principal, old: Profile, given: dict[str, Any], now: datetime) -> Profile:
    """`old` with what was given in its place. Raises Forbidden, ValidationFailed."""
    status: Status = given.get("status", old.status)
    check_status_change(
        principal.role, old.status, status, verified_before=old.verified_at is not None
    )
    verified_at = old.verified_at
    phone = given.get("phone", old.phone)
    if phone != old.phone:
        if principal.role not in ("support", "admin"):
            raise Forbidden("Only support and admin may change a customer's phone.")
        verified_at = None
        if status == "verified" and "status" not in given:
            status = "unverified"
    external_ids = {
        system: value
        for system, value in (old.external_ids | given.get("external_ids", {})).items()
        if value is not None
    }
    cards = _distinct(given.get("cards", old.cards))
    if principal.role == "site":
        _check_only_added(old, cards, external_ids)
    if len(external_ids) > MAX_EXTERNAL_IDS:
        raise ValidationFailed.at(
            "/external_ids",
            f"would be {len(external_ids)} with those the customer has; at most "
            f"{MAX_EXTERNAL_IDS} are kept, and null removes one",
        )
    person = _person(old.person, given)
    return msgspec.structs.replace(
        old,
        phone=phone,
        status=status,
        person=person,
        cards=cards,
        external_ids=external_ids,
        updated_at=now,
        verified_at=verified_at or (now if status == "verified" else None),
        birth_date_since=_birth_date_since(old, person, now),
        **{name: given[name] for name in _KEPT if name in given},
    )


def _check_only_added(old: Profile, cards: list[str], external_ids: dict[str, str]) -> None:
    """Raise Forbidden when a name is taken away: in two steps it could come to somebody else."""
    lost = [card for card in old.cards if card not in cards]
    lost += [f"{k}:{v}" for k, v in old.external_ids.items() if external_ids.get(k) != v]
    if lost:
        raise Forbidden(
            f"A key of role site may add cards and external ids, not take them away: {lost[0]} "
            "is not in the change. Support and admin may."
        )


def _birth_date_since(old: Profile, person: Person, now: datetime) -> datetime | None:
    if person.birth_date is None:
        return None
    if person.birth_date != old.person.birth_date:
        return now
    # Who was written before the time was kept has had the date since the last change at the latest.
    return old.birth_date_since or old.updated_at


def _person(old: Person, given: dict[str, Any]) -> Person:
    person = msgspec.structs.replace(
        old, **{name: given[name] for name in Person.__struct_fields__ if name in given}
    )
    if person.birth_date is not None:
        try:
            check_birth_date(person.birth_date)
        except ValueError as error:
            raise ValidationFailed.at("/birth_date", str(error)) from None
    if person.email is not None and not _looks_like_email(person.email):
        raise ValidationFailed.at("/email", 'must be an address such as "anna@example.org"')
    return person


def _looks_like_email(text: str) -> bool:
    name, at, host = text.rpartition("@")
    return bool(name and at and "." in host) and not any(c.isspace() for c in text)


def _distinct(values: Sequence[str]) -> list[str]:
    return list(dict.fromkeys(values))
