"""What a customer wrote, and the answer.

A robot on the other side cannot keep the service talking: what is not understood gets no answer,
nor does a sender that is no telephone, or a text that could be one of our own; a phone gets so
many answers a day and no more, all phones together so many, and those none that codes are not sent
to either: abroad, or paid numbers.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from datetime import timedelta
from typing import Final, Literal

import msgspec
import structlog
from sqlalchemy import text
from sqlalchemy.ext.asyncio import AsyncConnection

from billing.customers.model import mask_phone, normalise_phone
from billing.messages.acts import YES, InboundActs
from billing.messages.model import NewMessage
from billing.messages.sealing import MessageVault
from billing.messages.service import Messages
from billing.messages.settings import Keywords, MessageSettings, canonical
from billing.messages.templates import read_settings, render
from billing.messages.wording import Kind, Value
from billing.verifications.model import is_reachable
from ledger.group import Clock
from ledger.ids import uuid7
from ledger.service import utc_now

Command = Literal["balance", "confirm", "code", "stop", "other"]
Trust = Literal["proved", "claimed"]
"""`proved`: signed by the provider, or read from it. `claimed`: only the address was secret."""

ANSWER_WITHIN: Final = timedelta(hours=1)
DAY: Final = timedelta(days=1)
MAX_TEXT: Final = 2000
LONGEST_COMMAND: Final = 40
_CODE: Final = re.compile(r"[0-9]{4,10}")
_TELEPHONE: Final = re.compile(r"\+[1-9][0-9]{9,14}")

_NOTE = text("""
INSERT INTO billing.message_inbound
    (id, provider, provider_message_id, phone_hash, phone_masked, command, outcome, answered,
     received_at)
VALUES (:id, :provider, :reference, :hash, :masked, :command, 'new', false, :now)
ON CONFLICT (provider, provider_message_id) DO NOTHING RETURNING id
""")
_DONE = text("""
UPDATE billing.message_inbound SET outcome = :outcome, answered = :answered WHERE id = :id
""")
_ONE_AT_A_TIME = text("SELECT pg_advisory_xact_lock(hashtextextended(encode(:hash, 'hex'), 5))")
_ANSWERED = text("""
SELECT count(*) FROM billing.message_inbound
WHERE phone_hash = :hash AND received_at > :since AND answered
""")
_ALL_ANSWERED = text("""
SELECT count(*) FROM (SELECT FROM billing.message_inbound
                      WHERE received_at > :since AND answered LIMIT :most) AS made
""")

log = structlog.stdlib.get_logger(__name__)


class Inbound(msgspec.Struct, frozen=True, kw_only=True):
    """An SMS from outside, by the provider's own id."""

    provider: str
    provider_message_id: str
    phone: str
    text: str
    trust: Trust


class Reply(msgspec.Struct, frozen=True):
    """What came of it, and what to answer if anything."""

    outcome: str
    kind: Kind | None = None
    variables: dict[str, Value] = {}


def command_of(words: str, keywords: Keywords) -> tuple[Command, str | None]:
    """What a customer wants; and the code, if one was told. Only the whole text counts."""
    if len(words) > LONGEST_COMMAND:
        return "other", None
    digits = re.sub(r"[\s.-]", "", words)
    if _CODE.fullmatch(digits):
        return "code", digits
    plain = canonical(words)
    named: Sequence[tuple[Command, list[str]]] = (
        ("stop", keywords.stop), ("balance", keywords.balance), ("confirm", keywords.confirm),
    )  # fmt: skip
    for command, known in named:
        if plain and plain in map(canonical, known):
            return command, None
    return "other", None


class Conversation:
    """Hears an SMS once, whatever is repeated. The note of it and the answer are one transaction;
    what it asks for was done before, and doing it again changes nothing."""

    def __init__(
        self,
        messages: Messages,
        vault: MessageVault,
        acts: InboundActs,
        *,
        region: str,
        countries: frozenset[str],
        clock: Clock = utc_now,
    ) -> None:
        self._messages = messages
        self._vault = vault
        self._acts = acts
        self._region = region
        self._countries = countries
        self._clock = clock

    async def hear(self, tx: AsyncConnection, inbound: Inbound) -> str:
        """What came of it, in a word: "repeated" when it was heard before."""
        phone = self._telephone(inbound.phone)
        if phone is None:
            return "not a telephone"
        _, settings = await read_settings(tx)
        command, code = command_of(inbound.text[:MAX_TEXT], settings.keywords)
        hashed = self._vault.phone_hash(phone)
        await tx.execute(_ONE_AT_A_TIME, {"hash": hashed})
        inbound_id = uuid7()
        values = {
            "id": inbound_id,
            "provider": inbound.provider,
            "reference": inbound.provider_message_id,
            "hash": hashed,
            "masked": mask_phone(phone),
            "command": command,
            "now": self._clock(),
        }
        if await tx.scalar(_NOTE, values) is None:
            return "repeated"
        reply = await self._act(tx, phone, command, code, inbound)
        answered = reply.kind is not None and await self._may_answer(tx, phone, hashed, settings)
        if answered:
            await self._answer(tx, phone, reply, settings)
        outcome = reply.outcome if answered or reply.kind is None else f"{reply.outcome}, no answer"
        await tx.execute(_DONE, {"id": inbound_id, "outcome": outcome, "answered": answered})
        return outcome

    async def _act(
        self,
        tx: AsyncConnection,
        phone: str,
        command: Command,
        code: str | None,
        inbound: Inbound,
    ) -> Reply:
        if command == "stop":
            await self._messages.opt_out(tx, phone, "sms")
            await self._acts.withdraw_messages(phone)
            return Reply("stopped", "stop_reply")
        if command == "balance":
            return await self._balance(phone)
        if command == "confirm" and inbound.trust != "proved":
            # A yes is no secret: whoever knew the address could say it in anybody's name.
            return Reply("not proved")
        if command in ("confirm", "code"):
            said = await self._acts.confirm_by_reply(phone, YES if code is None else code)
            return Reply(said, "confirmed_reply" if said == "confirmed" else None)
        return Reply("not understood")

    async def _balance(self, phone: str) -> Reply:
        found = await self._acts.balance_for_phone(phone)
        if found is None:
            return Reply("nobody")
        variables: dict[str, Value] = {
            "points": found.available,
            "promo": found.promo or None,
            "deferred": found.deferred or None,
            "level": await self._acts.level_for_phone(phone),
        }
        return Reply("balance", "balance_reply", variables)

    async def _may_answer(
        self, tx: AsyncConnection, phone: str, hashed: bytes, settings: MessageSettings
    ) -> bool:
        if not is_reachable(phone, self._countries):
            return False
        since = self._clock() - DAY
        made = await tx.scalar(_ANSWERED, {"hash": hashed, "since": since})
        if int(made or 0) >= settings.replies_per_day:
            return False
        most = settings.replies_per_day_in_all
        in_all = await tx.scalar(_ALL_ANSWERED, {"since": since, "most": most})
        if int(in_all or 0) < most:
            return True
        log.warning("sms_replies_exhausted", most=most)
        return False

    async def _answer(
        self, tx: AsyncConnection, phone: str, reply: Reply, settings: MessageSettings
    ) -> None:
        if reply.kind is None:
            return
        variables = {**reply.variables, "brand": settings.brand}
        words = await render(tx, reply.kind, settings.language, variables)
        if command_of(words.text, settings.keywords)[0] != "other":
            # Two such services would talk to each other for ever.
            return
        await self._messages.enqueue(
            tx,
            NewMessage(
                id=uuid7(),
                phone=phone,
                purpose="reply",
                kind=reply.kind,
                text=words.text,
                language=settings.language,
                expires_at=self._clock() + ANSWER_WITHIN,
            ),
        )

    def _telephone(self, sender: str) -> str | None:
        """A sender in E.164; None for names, and for short numbers, behind which are robots."""
        plain = sender.strip()
        try:
            digits = f"+{plain}" if plain.isdigit() and len(plain) > 10 else plain
            phone = normalise_phone(digits, self._region)
        except ValueError:
            return None
        return phone if _TELEPHONE.fullmatch(phone) else None
