"""Giving, withdrawing and showing consents."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime
from hashlib import sha256
from uuid import UUID

from msgspec.structs import replace
from sqlalchemy import func, select
from sqlalchemy.ext.asyncio import AsyncConnection

from billing.catalog.service import Catalog
from billing.common.auth import Principal
from billing.common.db import Database
from billing.common.errors import ValidationFailed
from billing.consents import store
from billing.consents.model import Consent, How, Kind
from billing.consents.schemas import ConsentIn
from billing.customers.model import normalise_phone
from billing.customers.records import Records, must_be_changeable
from billing.customers.store import Row, read_duplicates
from billing.customers.tables import customers
from billing.customers.vault import Vault
from billing.events.schemas import ConsentGiven, ConsentWithdrawn
from billing.events.store import record
from billing.messages import store as message_store
from ledger.group import Clock
from ledger.ids import uuid7
from ledger.service import utc_now


class Consents:
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
        self._records = Records(vault)

    async def enter(self, principal: Principal, customer_id: UUID, new: ConsentIn) -> Consent:
        """Write down what a customer said in person, on the site or on paper.

        Raises NotFound, Conflict, and ValidationFailed: to the processing of personal data one
        consents by a verification only, which proves it.
        """
        if (new.kind, new.action) == ("processing", "given"):
            raise ValidationFailed.at(
                "/kind", "is given by a verification of purpose registration, which proves it"
            )
        channel, shop = await self._catalog.place(*principal.bind(new.channel, new.store))
        now = self._clock()
        async with self._database.transaction() as tx:
            row = await self._records.row(tx, customer_id, lock=True)
            must_be_changeable(await self._records.open(tx, row))
            consent = Consent(
                id=uuid7(),
                customer_id=customer_id,
                kind=new.kind,
                action=new.action,
                at=now,
                method="api",
                text_version=new.text_version,
                channel=channel,
                store=shop,
                seller=new.seller,
                author=principal.name,
            )
            return await self._write(tx, row, consent, new.text)

    async def withdraw_messages(self, phone: str) -> bool:
        """What STOP from `phone` asks for. False: nobody has this phone, or it was said before.
        Never raises for what the sender wrote."""
        try:
            phone_hash = self._vault.phone_hash(normalise_phone(phone, self._region))
        except ValueError:
            return False
        async with self._database.transaction() as tx:
            person = func.coalesce(customers.c.merged_into, customers.c.id)
            owner = await tx.scalar(select(person).where(customers.c.phone_hash == phone_hash))
            if owner is None:
                return False
            # One row is locked: who locks two, to merge them, takes them in their order.
            row = await self._records.row(tx, owner, lock=True)
            if await store.withdrawn(tx, [owner], "messages"):
                return False
            await self._write(tx, row, self._withdrawn(row.id, "messages", "inbound"), None)
        return True

    async def willing(self, tx: AsyncConnection, customers: Sequence[UUID]) -> set[UUID]:
        """Who of these may be sent notices: until they say no, or said no under a name or from a
        phone that was merged into theirs. To be asked when a message is sent, not only when it is
        queued."""
        unwilling = await store.withdrawn(tx, customers, "messages")
        return set(customers) - unwilling - await store.opted_out(tx, customers)

    async def of_customer(self, customer_id: UUID) -> list[tuple[Consent, str | None]]:
        """All of them with their words, newest first, those of merged duplicates among them; no
        words of who was erased. Raises NotFound.
        """
        async with self._database.transaction() as tx:
            row = await self._records.row(tx, customer_id)
            return await self.of_person(tx, [row, *await read_duplicates(tx, customer_id)])

    async def of_person(
        self, tx: AsyncConnection, rows: Sequence[Row]
    ) -> list[tuple[Consent, str | None]]:
        """The consents of these with their words, newest first."""
        people = {row.id: row for row in rows}
        found = await store.of_customers(tx, list(people))
        return [(one, self._text(people[one.customer_id], one)) for one in found]

    def _text(self, row: Row, consent: Consent) -> str | None:
        if consent.text_encrypted is None or row.data_key is None:
            return None
        of = consent.id.bytes + b"text"
        return self._vault.unseal_text(row.id, row.data_key, consent.text_encrypted, of)

    def _withdrawn(self, customer_id: UUID, kind: Kind, how: How) -> Consent:
        return Consent(
            id=uuid7(),
            customer_id=customer_id,
            kind=kind,
            action="withdrawn",
            at=self._clock(),
            method=how,
        )

    async def _write(
        self, tx: AsyncConnection, row: Row, consent: Consent, text: str | None
    ) -> Consent:
        if text is not None and row.data_key is not None:
            of = consent.id.bytes + b"text"
            consent = replace(
                consent,
                text_sha256=sha256(text.encode()).digest(),
                text_encrypted=self._vault.seal_text(row.id, row.data_key, text, of),
            )
        await store.insert(tx, consent)
        if (consent.kind, consent.action) == ("messages", "given"):
            for one in (row, *await read_duplicates(tx, row.id)):
                if one.phone_hash is not None:
                    await message_store.opt_in(tx, one.phone_hash)
        await _tell(tx, consent)
        if (consent.kind, consent.action) == ("processing", "withdrawn"):
            await self._unverify(tx, row, consent.at)
        return consent

    async def _unverify(self, tx: AsyncConnection, row: Row, now: datetime) -> None:
        """Who takes back the consent to processing takes no part until it is given again."""
        profile = await self._records.open(tx, row)
        status = "blocked" if profile.status == "blocked" else "unverified"
        await self._records.change(
            tx, replace(profile, status=status, verified_at=None, updated_at=now)
        )


async def _tell(tx: AsyncConnection, consent: Consent) -> None:
    kind = ConsentGiven if consent.action == "given" else ConsentWithdrawn
    await record(
        tx,
        kind(customer_id=consent.customer_id, consent_id=consent.id, kind=consent.kind),
        consent.at,
    )
