"""Registering, changing and showing customers."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Sequence
from datetime import datetime
from typing import Any, TypeVar
from uuid import UUID

import msgspec
from msgspec import UNSET
from sqlalchemy.exc import IntegrityError
from sqlalchemy.ext.asyncio import AsyncConnection

from billing.catalog.service import Catalog
from billing.common.auth import Principal
from billing.common.db import Database
from billing.common.errors import Forbidden, Overloaded, Problem, ValidationFailed
from billing.common.wire import composed
from billing.customers import claims
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
from billing.customers.records import Records, must_be_changeable, tell_registered, tell_verified
from billing.customers.schemas import MAX_EXTERNAL_IDS, CustomerIn, CustomerPatch
from billing.customers.vault import Vault
from ledger import reads
from ledger.group import Clock
from ledger.ids import uuid7
from ledger.service import Ledger, utc_now
from ledger.state import CustomerState

T = TypeVar("T")

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
        ledger: Ledger | None = None,
    ) -> None:
        self._database = database
        self._vault = vault
        self._records = Records(vault)
        self._catalog = catalog
        self._region = default_region
        self._clock = clock
        self._ledger = ledger

    async def register(self, principal: Principal, new: CustomerIn) -> Profile:
        """A new customer. Raises Conflict customer_exists with the owner's `customer_id`."""
        profile = await self._new(principal, new)

        async def write(tx: AsyncConnection) -> Profile:
            await self._records.insert(tx, profile)
            await tell_registered(tx, [profile])
            return profile

        wanted = Claims(self.phone_hash(new.phone), profile.cards, profile.external_ids)
        return await self.claiming(wanted, write)

    async def register_many(
        self, principal: Principal, news: Sequence[CustomerIn], timeout_s: float
    ) -> list[Profile | Problem]:
        """Customers who have a phone and no other names, each as `register` has it, all in one
        transaction; what is wrong with one stands in its place and hinders no other. Raises
        Overloaded: then nobody is registered, or all are, and the phones tell."""
        fates: list[Profile | Problem] = []
        for new in news:
            try:
                fates.append(await self._new(principal, new))
            except Problem as problem:
                fates.append(problem)
        wanted = [one for one in fates if isinstance(one, Profile)]
        if any(one.cards or one.external_ids for one in wanted):
            raise ValueError("customers with cards or external ids are registered one by one")
        async with self._database.transaction(timeout_s=timeout_s) as tx:
            ids = await self._records.insert_new(tx, wanted)
            await tell_registered(tx, [one for one in wanted if one.id in ids])
        known = await self._known([one for one in wanted if one.id not in ids], timeout_s)
        return [known.get(one.id, one) if isinstance(one, Profile) else one for one in fates]

    async def _known(self, late: Sequence[Profile], timeout_s: float) -> dict[UUID, Problem]:
        """What those hear whose phone somebody has, by the id they would have had."""
        hashes = {one.id: self._vault.phone_hash(one.phone) for one in late if one.phone}
        if not hashes:
            return {}
        async with self._database.transaction(timeout_s=timeout_s) as tx:
            owners = await claims.owners_of_phones(tx, list(hashes.values()))
        gone = Overloaded("The phone's owner was erased this moment; try again.")
        return {
            id_: owners[one].conflict() if one in owners else gone for id_, one in hashes.items()
        }

    async def _new(self, principal: Principal, new: CustomerIn) -> Profile:
        """The customer to be. Raises Forbidden, ValidationFailed."""
        if new.status != "unverified" and principal.role != "admin":
            raise Forbidden(f"Only an admin may register a customer as {new.status}.")
        channel, shop = await self._catalog.place(*principal.bind(new.channel, new.store))
        now = self._clock()
        phone = self._phone(new.phone)
        return Profile(
            id=uuid7(),
            phone=phone,
            phone_masked=mask_phone(phone),
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
            old = await self._records.read(tx, customer_id, lock=True)
            must_be_changeable(old)
            new = _changed(principal, old, given, self._clock())
            await self._records.change(tx, new)
            if new.verified_at != old.verified_at and new.verified_at is not None:
                await tell_verified(tx, new, new.verified_at)
            return new

        return await self.claiming(wanted, write, customer_id)

    async def get(self, customer_id: UUID) -> Profile:
        """Raises NotFound."""
        async with self._database.transaction() as tx:
            return await self._records.read(tx, customer_id)

    async def find(
        self, *, phone: str | None, card: str | None, external_id: tuple[str, str] | None
    ) -> Profile | None:
        """The customer who has it; whom that one was merged into, if so."""
        wanted = Claims(
            None if phone is None else self._vault.phone_hash(self._phone(phone, "/query/phone")),
            [] if card is None else [composed(card)],
            {} if external_id is None else {composed(external_id[0]): composed(external_id[1])},
        )
        async with self._database.transaction() as tx:
            claim = await claims.first_taken(tx, wanted)
            if claim is None:
                return None
            found = await self._records.read(tx, claim.customer_id)
            survivor = found.merged_into
            return found if survivor is None else await self._records.read(tx, survivor)

    async def balance_for_phone(self, phone: str) -> CustomerState | None:
        """The points of the customer who has the phone, as a till would find them now; None for
        a phone that nobody has, or whose owner may not ask: not verified, or blocked. Never
        raises for what cannot be a phone."""
        if self._ledger is None:
            raise RuntimeError("balances are told where there is a ledger")
        try:
            found = await self.find(phone=phone, card=None, external_id=None)
        except ValidationFailed:
            return None
        if found is None or found.status != "verified":
            return None
        return await reads.balance_now(self._ledger, found.id)

    async def claiming(
        self,
        wanted: Claims,
        write: Callable[[AsyncConnection], Awaitable[T]],
        customer_id: UUID | None = None,
    ) -> T:
        """Run `write` in a transaction; when a unique name was taken, say which and by whom."""
        try:
            async with self._database.transaction() as tx:
                return await write(tx)
        except IntegrityError as error:
            async with self._database.transaction() as tx:
                taken = await claims.first_taken(tx, wanted, other_than=customer_id)
            if taken is None:
                raise
            raise taken.conflict() from error

    def phone_hash(self, text: str) -> bytes:
        """The same for every way to write a phone. Raises ValidationFailed at /phone."""
        return self._vault.phone_hash(self._phone(text))

    def _phone(self, text: str, pointer: str = "/phone") -> str:
        try:
            return normalise_phone(text, self._region)
        except ValueError as error:
            raise ValidationFailed.at(pointer, str(error)) from None


def _changed(principal: Principal, old: Profile, given: dict[str, Any], now: datetime) -> Profile:
    """`old` with what was given in its place. Raises Forbidden, ValidationFailed."""
    status: Status = given.get("status", old.status)
    check_status_change(
        principal.role, old.status, status, verified_before=old.verified_at is not None
    )
    verified_at = old.verified_at
    phone: str = given.get("phone") or old.phone or ""
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
        phone_masked=mask_phone(phone),
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
