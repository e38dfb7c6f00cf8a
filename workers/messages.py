"""Carrying messages to customers and back."""

from __future__ import annotations

from typing import ClassVar, Final

import structlog
from dramatiq import Broker

from billing.catalog.service import Catalog
from billing.common.db import Database
from billing.common.settings import Settings
from billing.consents.service import Consents
from billing.customers.secret import recognise
from billing.customers.service import Customers
from billing.customers.vault import Vault
from billing.messages.acts import CustomerActs
from billing.messages.sealing import MessageVault
from billing.messages.service import Messages
from billing.verifications.model import Rules
from billing.verifications.service import Verifications
from integrations.sms.running import SmsWork
from workers.carrying import OpenWork, declare_carrying
from workers.ledger import OpenLedger
from workers.names import FORGET_MESSAGES, HEAR_MESSAGES, SEND_MESSAGES

_WAITING: Final = (
    "messages wait: BONUS_SECRET_KEY is not the one this database was written with, or no API has "
    "started on it yet"
)

log = structlog.stdlib.get_logger(__name__)


class OpenMessages(OpenWork[SmsWork]):
    """What messages need, while the worker runs."""

    doing: ClassVar = "messages are sent"

    def __init__(self, settings: Settings, opened: OpenLedger) -> None:
        super().__init__(settings, opened)
        self._database: Database | None = None
        self._vault: Vault | None = None
        self._complained = False

    async def send(self) -> int:
        """What is queued, for some seconds; the scheduler's next message goes on."""
        return await self.work.sender.run() if await self._has_the_key() else 0

    async def hear(self) -> int:
        """Events to be told, webhooks, and what is to be asked about, for some seconds."""
        return await self.work.listen() if await self._has_the_key() else 0

    async def forget(self) -> None:
        """What is long over."""
        await self.work.forget(self._opened.a_while())

    async def _open(self) -> SmsWork:
        ledger, settings = self._opened.ledger, self._settings
        clock, region = ledger.clock, settings.default_region
        database = Database(settings.database_url, application="bonus-replies", size=2)
        vault = Vault(settings.secret_key, key="not compared")
        catalog = Catalog(database)
        post = Messages(database, MessageVault(settings.secret_key, vault), clock=clock)
        rules = Rules.of(settings)
        consents = Consents(database, vault, catalog, region, clock=clock)
        acts = CustomerActs(
            Verifications(database, vault, catalog, post, rules, region, clock=clock),
            consents,
            Customers(database, vault, catalog, region, clock=clock, ledger=ledger),
        )
        self._database, self._vault = database, vault
        return SmsWork(settings, vault, acts, consents, clock)

    async def _close(self) -> None:
        await super()._close()
        if self._database is not None:
            await self._database.close()

    async def _has_the_key(self) -> bool:
        """Whether BONUS_SECRET_KEY is this database's: under another one no phone could be read,
        and every message would fail. They wait instead."""
        if self._vault is None or self._database is None:
            raise RuntimeError("messages are sent in a running worker only")
        if self._vault.key == "right" or await recognise(self._database, self._vault):
            return True
        if not self._complained:
            log.error("secret_key_not_recognised", detail=_WAITING)
        self._complained = True
        return False


def declare_messages(broker: Broker, opened: OpenMessages) -> None:
    """Register the actors with the broker."""
    declare_carrying(
        broker,
        {
            SEND_MESSAGES: opened.send,
            HEAR_MESSAGES: opened.hear,
            FORGET_MESSAGES: opened.forget,
        },
    )
