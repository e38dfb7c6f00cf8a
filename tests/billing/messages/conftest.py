"""A chain with customers, and what is told to them."""

from __future__ import annotations

from collections.abc import AsyncIterator
from dataclasses import dataclass
from datetime import timedelta
from typing import Any
from uuid import UUID
from zoneinfo import ZoneInfo

import asyncpg
import pytest

from billing.common.db import Database
from billing.customers.model import Person, mask_phone
from billing.customers.vault import Vault
from billing.messages.acts import Everybody
from billing.messages.sealing import MessageVault
from billing.messages.service import Messages
from billing.messages.settings import MessageSettings, Switches
from billing.messages.telling import Teller
from billing.messages.templates import Templates
from ledger.service import Ledger
from tests.conftest import TestDatabase
from tests.integrations.sms.conftest import CLEAN
from tests.ledger.conftest import Clock
from tests.ledger.house import Customer

KEY = bytes(range(32))
ALL = Switches(accrual=True, redemption=True, activation=True, expiring=True, level_change=True)


@dataclass
class Told:
    """A message, opened."""

    phone: str
    text: str
    kind: str
    not_before: float
    expires_at: float
    zone: str


class Chain:
    def __init__(self, ledger: Ledger, clock: Clock, database: Database, owner: Any) -> None:
        self.ledger = ledger
        self.clock = clock
        self.database = database
        self.owner = owner
        self.people = Vault(KEY)
        self.vault = MessageVault(KEY, self.people)
        self.messages = Messages(database, self.vault, clock=clock)
        self.templates = Templates(database, clock=clock)
        self.teller = self.new_teller()
        self.customers: list[UUID] = []

    def new_teller(self, willing: Any = None, **more: Any) -> Teller:

        return Teller(
            self.database,
            self.messages,
            self.people,
            willing or Everybody(),
            ZoneInfo("Europe/Moscow"),
            clock=self.clock,
            **more,
        )

    async def settings(self, **values: Any) -> None:
        values = {"tell": ALL, "quiet_hours": None, "brand": "Fresh"} | values
        await self.templates.write_settings(MessageSettings(**values), "test")

    async def customer(
        self, phone: str = "+79990000001", status: str = "verified", **more: Any
    ) -> Customer:
        """Registered, with an account in the ledger."""
        customer = Customer(self.ledger, self.clock)
        sealed = self.people.seal(customer.id, phone, Person(name=more.pop("name", "Анна")))
        now = self.clock()
        self.customers.append(customer.id)
        await self.owner.execute(
            """INSERT INTO billing.customers (id, status, phone_hash, phone_masked,
               phone_encrypted, person_encrypted, data_key, store, created_at, updated_at)
               VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9, $9)""",
            customer.id, status, sealed.phone_hash, mask_phone(phone), sealed.phone_encrypted,
            sealed.person_encrypted, sealed.data_key, more.pop("store", None), now,
        )  # fmt: skip
        return customer

    async def tell(self) -> list[Told]:
        """What is queued by now, in order."""
        while await self.teller.advance():
            pass
        return await self.told()

    async def told(self) -> list[Told]:
        rows = await self.owner.fetch("SELECT * FROM billing.messages ORDER BY id")
        return [self._opened(row) for row in rows]

    def _opened(self, row: Any) -> Told:
        def part(name: str) -> str:
            return self.vault.unseal(row["id"], name, row[f"{name}_encrypted"])

        start = self.clock.at(0)
        return Told(
            part("phone"),
            part("text"),
            row["kind"],
            (row["not_before"] - start) / timedelta(hours=1),
            (row["expires_at"] - start) / timedelta(hours=1),
            row["zone"],
        )


@pytest.fixture
def clock() -> Clock:
    return Clock()


@pytest.fixture
async def chain(shared_database: TestDatabase, clock: Clock) -> AsyncIterator[Chain]:
    """Alone with the shared database's messages; its events are those from now on."""
    opened = Database(shared_database.url, size=4)
    owner = await asyncpg.connect(shared_database.owner_url)
    await owner.execute(CLEAN)
    async with Ledger(shared_database.url, clock=clock) as ledger:
        made = Chain(ledger, clock, opened, owner)
        await made.tell()
        yield made
    await owner.execute("DELETE FROM billing.customers WHERE id = ANY($1)", made.customers)
    await owner.execute(CLEAN)
    await owner.close()
    await opened.close()
