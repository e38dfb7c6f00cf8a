"""Messages as a worker runs them: told, sent, asked about, and what came back."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from typing import Final

from billing.common.db import Database
from billing.common.settings import Settings
from billing.customers.vault import Vault
from billing.messages import store
from billing.messages.acts import InboundActs, Willing
from billing.messages.inbound import Conversation
from billing.messages.sealing import MessageVault
from billing.messages.service import Messages
from billing.messages.telling import Teller
from integrations.sms.fleet import fleet_of
from integrations.sms.inquiry import Inquirer
from integrations.sms.reports import Reports
from integrations.sms.sender import Sender
from integrations.sms.vault import SmsVault
from ledger.group import Clock
from ledger.service import utc_now

LOOK_EVERY_S: Final = 0.5
FOLLOW_S: Final = 30.0
CONNECTIONS: Final = 6


class SmsWork:
    """What is needed to carry messages. Made and closed inside an event loop."""

    def __init__(
        self,
        settings: Settings,
        people: Vault,
        acts: InboundActs,
        willing: Willing,
        clock: Clock = utc_now,
    ) -> None:
        database = Database(settings.database_url, application="bonus-sms", size=CONNECTIONS)
        self._database = database
        self._clock = clock
        self.fleet = fleet_of(settings)
        vault = MessageVault(settings.secret_key, people)
        messages = Messages(database, vault, clock=clock)
        conversation = Conversation(
            messages,
            vault,
            acts,
            region=settings.default_region,
            countries=settings.code_countries,
            clock=clock,
        )
        self.teller = Teller(database, messages, people, willing, settings.timezone, clock=clock)
        self.sender = Sender(database, self.fleet, vault, willing, clock=clock)
        self.inquirer = Inquirer(database, self.fleet, vault, clock=clock)
        self.reports = Reports(
            database,
            self.fleet,
            SmsVault(settings.secret_key),
            self.inquirer,
            conversation,
            clock=clock,
        )
        self._listening = False
        self._stopping = False

    async def listen(self, *, for_s: float = FOLLOW_S) -> int:
        """Turn events into messages, work on webhooks and ask, as it comes, for so long; how much
        there was. While one listens, others of the process return. Raises Overloaded,
        CursorAhead."""
        if self._listening:
            return 0
        self._listening = True
        done = 0
        end = asyncio.get_running_loop().time() + for_s
        try:
            while not self._stopping and asyncio.get_running_loop().time() < end:
                found = int(await self.teller.advance())
                found += await self.reports.step()
                found += await self.inquirer.step()
                done += found
                if not found:
                    await asyncio.sleep(LOOK_EVERY_S)
        finally:
            self._listening = False
        return done

    async def forget(self, go_on: Callable[[], bool]) -> None:
        """Drop messages and webhooks that are long over, as long as `go_on`."""
        await store.forget_old(self._database, self._clock(), go_on)
        await self.reports.forget(go_on)

    def stop(self) -> None:
        """Begin nothing new."""
        self._stopping = True
        self.sender.stop()

    async def close(self) -> None:
        await self.fleet.close()
        await self._database.close()
