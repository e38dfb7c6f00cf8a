"""Showing a person all that is kept of them, and erasing it."""

from __future__ import annotations

from datetime import datetime
from uuid import UUID
from zoneinfo import ZoneInfo

from sqlalchemy.ext.asyncio import AsyncConnection

from billing.balances.schemas import StatementItemOut
from billing.balances.service import read_balance, read_statement
from billing.common.auth import Principal
from billing.common.db import Database
from billing.common.errors import Conflict, NotFound
from billing.common.wire import decode_cursor
from billing.consents import store as consents
from billing.consents.model import Consent
from billing.consents.schemas import consent_out
from billing.consents.service import Consents
from billing.customers.model import Profile
from billing.customers.records import Records
from billing.customers.routes import shown
from billing.customers.schemas import ErasedOut
from billing.customers.store import Row, lock_persons, read_duplicates
from billing.customers.vault import Vault
from billing.events.schemas import CustomerErased
from billing.events.store import record
from billing.merges.service import Merges
from billing.messages.schemas import message_out
from billing.messages.service import Messages
from billing.persons import store
from billing.persons.schemas import DuplicateOut, PersonOut
from billing.verifications import store as verifications
from billing.verifications.schemas import verification_out
from ledger.ids import uuid7
from ledger.service import Ledger

PAGE = 500
MOST = 20
"""Pages of a statement in one export: 10,000 transactions."""
MOST_MESSAGES = 10_000


class Persons:
    """Export and erasure. The ledger knows an opaque id only, and stays as it is."""

    def __init__(
        self,
        ledger: Ledger,
        database: Database,
        vault: Vault,
        consents_: Consents,
        merges: Merges,
        messages: Messages,
        zone: ZoneInfo,
    ) -> None:
        self._ledger = ledger
        self._database = database
        self._records = Records(vault)
        self._consents = consents_
        self._merges = merges
        self._messages = messages
        self._zone = zone

    async def export(self, principal: Principal, customer_id: UUID) -> PersonOut:
        """All that is kept of a person. Raises NotFound."""
        async with self._database.transaction() as tx:
            row = await self._records.row(tx, customer_id)
            rows = [row, *await read_duplicates(tx, customer_id)]
            ids = [one.id for one in rows]
            profile, *merged = [await self._records.open(tx, one) for one in rows]
            agreed = await self._consents.of_person(tx, rows)
            confirmed = await verifications.of_customers(tx, ids)
        now = self._ledger.clock()
        items, whole = await self._statement(customer_id)
        hashes = [one.phone_hash for one in rows if one.phone_hash is not None]
        messages, written = await self._messages.of_person(ids, hashes, MOST_MESSAGES)
        return PersonOut(
            exported_at=now,
            customer=shown(profile, principal),
            consents=[consent_out(*one) for one in agreed],
            verifications=[verification_out(one, now, None) for one in confirmed],
            merges=await self._merges.of_customer(customer_id),
            duplicates=[await self._duplicate(one, principal) for one in merged],
            messages=[message_out(one) for one in messages],
            written=written,
            balance=await read_balance(self._ledger, customer_id, self._zone),
            statement=items,
            statement_complete=whole,
        )

    async def _duplicate(self, profile: Profile, principal: Principal) -> DuplicateOut:
        items, whole = await self._statement(profile.id)
        return DuplicateOut(
            customer=shown(profile, principal), statement=items, statement_complete=whole
        )

    async def erase(self, principal: Principal, customer_id: UUID, reason: str) -> ErasedOut:
        """Forget who the customer is, and those merged into them; again, nothing happens.

        Raises NotFound, and Conflict for who was merged into another: erase that one.
        """
        now = self._ledger.clock()
        async with self._database.transaction() as tx:
            rows = await self._locked(tx, customer_id)
            (row,) = [one for one in rows if one.id == customer_id]
            if row.merged_into is not None:
                raise Conflict(
                    "customer_merged",
                    f"The customer was merged into {row.merged_into}; erase that one.",
                    customer_id=str(row.merged_into),
                )
            before = await store.erased_at(tx, customer_id)
            if before is not None:
                return ErasedOut(customer_id, before)
            for one in rows:
                await self._erase(tx, one.id, now, reason, principal.name)
        return ErasedOut(customer_id, now)

    async def _locked(self, tx: AsyncConnection, customer_id: UUID) -> list[Row]:
        """The customer and those merged into them. Raises NotFound."""
        while True:
            async with tx.begin_nested() as locked:
                rows = await lock_persons(tx, customer_id)
                if not rows:
                    raise NotFound(f"There is no customer {customer_id}.")
                # Another one may have been merged into them before they were locked.
                if len(rows) == 1 + len(await read_duplicates(tx, customer_id)):
                    return rows
                await locked.rollback()

    async def _erase(
        self, tx: AsyncConnection, customer_id: UUID, now: datetime, reason: str, author: str
    ) -> None:
        if await consents.standing(tx, customer_id, "processing") == "given":
            await consents.insert(
                tx,
                Consent(
                    id=uuid7(),
                    customer_id=customer_id,
                    kind="processing",
                    action="withdrawn",
                    at=now,
                    method="erasure",
                    author=author,
                ),
            )
        await verifications.forget_person(tx, customer_id)
        await self._messages.forget_customer(tx, customer_id)
        await store.blank(tx, customer_id, now)
        await store.note(tx, customer_id, now, reason, author)
        await record(tx, CustomerErased(customer_id=customer_id), now)

    async def _statement(self, customer_id: UUID) -> tuple[list[StatementItemOut], bool]:
        items: list[StatementItemOut] = []
        before: int | None = None
        for _ in range(MOST):
            page = await read_statement(self._ledger, customer_id, self._zone, PAGE, before)
            items += page["items"]
            if page["next_cursor"] is None:
                return items, True
            (before,) = decode_cursor(page["next_cursor"], int)
        return items, False
