"""Messages, their providers and a clock the test sets, as one worker and one API have them."""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from datetime import timedelta
from pathlib import Path
from typing import Any
from urllib.parse import urlencode
from uuid import UUID

from billing.common.db import Database
from billing.customers.vault import Vault
from billing.messages import store
from billing.messages.acts import YES, Confirmed, Everybody, Points, Willing
from billing.messages.inbound import Conversation
from billing.messages.model import Attempt, Message, NewMessage, Purpose
from billing.messages.sealing import MessageVault
from billing.messages.service import Messages
from billing.messages.settings import MessageSettings
from billing.messages.templates import Templates
from integrations.sms.fleet import Fleet
from integrations.sms.inquiry import Inquirer
from integrations.sms.protocol import Ack
from integrations.sms.reports import Reports
from integrations.sms.schemas import SmsProviderIn
from integrations.sms.sender import Sender
from integrations.sms.service import SmsProviders
from integrations.sms.store import ProviderRow
from integrations.sms.twilio import sign
from integrations.sms.vault import SmsVault
from integrations.sms.webhooks import Intake
from integrations.webhooks.guard import Guard
from ledger.ids import uuid7
from ledger.state import CustomerState
from tests.integrations.sms.peers import Peer
from tests.ledger.conftest import Clock

KEY = bytes(range(32))
HERE = Guard(plain=True, hosts=frozenset(("127.0.0.1",)))
PUBLIC = "https://bonus.example.ru"
ANNA = "+79990000001"

SETTINGS: Mapping[str, dict[str, Any]] = {
    "smsc": {"sender": "Fresh"},
    "smsru": {"sender": "Fresh"},
    "exolve": {"sender": "79585770000"},
    "twilio": {"account_sid": "AC1", "sender": "+15550001", "verify_service_sid": "VA1"},
}
SECRETS: Mapping[str, dict[str, Any]] = {
    "smsc": {"api_key": "key", "callback_secret": "sec"},
    "smsru": {"api_id": "API"},
    "exolve": {"api_key": "key"},
    "twilio": {"auth_token": "tok_12345"},
    "http": {"named": {"key": "secret", "hook": "hook secret"}},
}


def generic(endpoint: str, **more: Any) -> dict[str, Any]:
    """The settings of HttpPeer."""
    headers = {"X-Key": "{secret.key}"}
    return {
        "send": {
            "url": f"{endpoint}/send",
            "headers": headers,
            "json": {"to": "{phone}", "content": {"text": "{text}"}, "ttl": "{ttl_s}"},
        },
        "sent": {"id": "data.0.id", "error": "error"},
        "fetch": {"method": "GET", "url": f"{endpoint}/status/{{id}}", "headers": headers},
        "fetched": {"status": "state", "price": "price", "segments": "parts"},
        "statuses": {"ACCEPTD": "accepted", "DELIVRD": "delivered", "UNDELIV": "failed"},
        "missing": "NONE",
        "currency": "RUB",
        "report": {"id": "id", "status": "state"},
        "inbound": {"id": "id", "phone": "from", "text": "body"},
        **more,
    }


def by_smsc(secret: str, **fields: str) -> bytes:
    """A report with SMSC's hash: of id, phone and status, and of nothing else."""
    signed = ":".join([fields["id"], fields["phone"], fields["status"], secret])
    made = hashlib.md5(signed.encode(), usedforsecurity=False).hexdigest()
    return urlencode({**fields, "md5": made}).encode()


@dataclass
class Acts:
    """The rest of the service, which writes down what it is asked."""

    open_code: str = "481526"
    asked: list[tuple[str, Any]] = field(default_factory=list)
    balance: Points | None = field(default_factory=lambda: CustomerState(uuid7()))

    async def confirm_by_reply(self, phone: str, text: str) -> Confirmed:
        self.asked.append(("confirm", (phone, text)))
        return "confirmed" if text in (YES, self.open_code) else "wrong_code"

    async def withdraw_messages(self, phone: str) -> bool:
        self.asked.append(("stop", phone))
        return True

    async def balance_for_phone(self, phone: str) -> Points | None:
        self.asked.append(("balance", phone))
        return self.balance

    async def level_for_phone(self, phone: str) -> str | None:
        return None


class House:
    def __init__(self, database: Database, clock: Clock, folder: Path) -> None:
        self.database = database
        self.clock = clock
        self.folder = folder
        self.vault = MessageVault(KEY, Vault(KEY))
        state = CustomerState(uuid7())
        state.available = 1250
        self.acts = Acts(balance=state)
        self.woken = 0
        self.willing: Willing = Everybody()
        self.fleets: list[Fleet] = []
        self.fleet = self.new_fleet()
        self.messages = Messages(database, self.vault, clock=clock)
        self.templates = Templates(database, clock=clock)
        sms = SmsVault(KEY)
        self.providers = SmsProviders(database, sms, self.fleet, self.messages, "RU", clock=clock)
        self.intake = Intake(database, self.fleet, sms, self._wake, clock=clock)
        self.sender = self.new_sender()
        self.inquirer = Inquirer(database, self.fleet, self.vault, clock=clock)
        conversation = Conversation(
            self.messages,
            self.vault,
            self.acts,
            region="RU",
            countries=frozenset(("RU",)),
            clock=clock,
        )
        self.reports = Reports(database, self.fleet, sms, self.inquirer, conversation, clock=clock)

    def new_fleet(self, *, console: bool = False, timeout_s: float = 5.0) -> Fleet:
        made = Fleet(
            SmsVault(KEY),
            HERE,
            self.folder,
            console=console,
            public_url=PUBLIC,
            timeout_s=timeout_s,
        )
        self.fleets.append(made)
        return made

    def new_sender(self, fleet: Fleet | None = None) -> Sender:
        """Another process that sends."""
        return Sender(
            self.database, fleet or self.fleet, self.vault, self.willing, clock=self.clock
        )

    async def close(self) -> None:
        for fleet in self.fleets:
            await fleet.close()

    async def add(self, peer: Peer, code: str | None = None, **more: Any) -> ProviderRow:
        """Set the peer up as a provider."""
        if peer.kind == "http":
            settings = generic(peer.endpoint)
        else:
            settings = {**SETTINGS[peer.kind], "endpoint": peer.endpoint}
            if peer.kind == "twilio":
                settings["verify_endpoint"] = peer.endpoint
        body = {
            "kind": peer.kind,
            "settings": settings | more.pop("settings", {}),
            "secrets": {**SECRETS[peer.kind], **more.pop("secrets", {})},
            **more,
        }
        row, _ = await self.providers.put(code or peer.kind, SmsProviderIn(**body))
        return row

    async def enqueue(
        self, text: str = "Код 481526", purpose: Purpose = "verification", **more: Any
    ) -> UUID:
        new = NewMessage(
            id=uuid7(),
            phone=more.pop("phone", ANNA),
            purpose=purpose,
            text=text,
            language="ru",
            expires_at=more.pop("expires_at", self.clock() + timedelta(minutes=10)),
            **more,
        )
        async with self.database.transaction() as tx:
            await self.messages.enqueue(tx, new)
        return new.id

    async def send(self) -> int:
        """Everything that is due now."""
        return await self.sender.run(linger=False)

    async def sent(self, **more: Any) -> Message:
        """A message that was sent just now."""
        message = await self.enqueue(**more)
        await self.send()
        return await self.get(message)

    async def get(self, message: UUID) -> Message:
        return (await self.messages.get(message))[0]

    async def history(self, message: UUID) -> list[Attempt]:
        """Oldest first."""
        return (await self.messages.get(message))[1][::-1]

    async def later(self, **delta: float) -> None:
        """Let time pass; ask, work and send what is due then."""
        self.clock.seconds += timedelta(**delta).total_seconds()
        while await self.inquirer.step() or await self.reports.step() or await self.send():
            pass

    async def work(self) -> None:
        """Deal with what came in."""
        while await self.reports.step():
            pass

    async def forget(self, go_on: Callable[[], bool]) -> None:
        """Drop what is long over."""
        await store.forget_old(self.database, self.clock(), go_on)
        await self.reports.forget(go_on)

    async def settings(self, **values: Any) -> None:
        await self.templates.write_settings(MessageSettings(**values), "test")

    async def hook(
        self,
        code: str,
        body: bytes,
        *,
        token: str | None = None,
        content_type: str = "application/x-www-form-urlencoded",
        headers: Mapping[str, str] | None = None,
        query: bytes = b"",
    ) -> Ack:
        """What the provider sends to its address."""
        if token is None:
            row, _ = await self.providers.get(code)
            token = self.fleet.token(row)
        sent = {"content-type": content_type, **(headers or {})}
        raw = {k.encode(): v.encode() for k, v in sent.items()}
        return await self.intake.take(code, token, query, raw, body)

    async def twilio(self, **fields: str) -> Ack:
        """A webhook with Twilio's signature."""
        row, _ = await self.providers.get("twilio")
        url = self.fleet.address("twilio", self.fleet.token(row))
        signature = sign("tok_12345", url, fields.items())
        body = urlencode(fields).encode()
        return await self.hook("twilio", body, headers={"x-twilio-signature": signature})

    async def smsru(self, *entries: str) -> Ack:
        """A webhook with SMS.ru's hash."""
        signed = hashlib.sha256(("API" + "".join(entries)).encode()).hexdigest()
        pairs = [(f"data[{place}]", entry) for place, entry in enumerate(entries)]
        return await self.hook("smsru", urlencode([*pairs, ("hash", signed)]).encode())

    async def smsc(self, **fields: str) -> Ack:
        """A webhook with SMSC's hash."""
        return await self.hook("smsc", by_smsc("sec", **fields))

    def _wake(self) -> None:
        self.woken += 1
