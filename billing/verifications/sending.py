"""Sending a code: limits first, then the text, then the queue; all in one transaction."""

from __future__ import annotations

from datetime import datetime, timedelta
from typing import Final

from msgspec.structs import replace
from sqlalchemy.ext.asyncio import AsyncConnection

from billing.common.money import format_amount
from billing.customers.store import Row
from billing.customers.vault import Vault
from billing.messages.model import Language, NewMessage
from billing.messages.wording import Kind, Value
from billing.verifications import limits
from billing.verifications.gateways import Post
from billing.verifications.model import CODE_MARK, LIFE, Rules, Verification, new_code
from ledger.ids import uuid7

_RUSSIAN: Final = ("+7", "+375", "+996")


def default_language(phone: str) -> Language:
    """Russian where it is the usual one, English elsewhere."""
    return "ru" if phone.startswith(_RUSSIAN) else "en"


class Sender:
    """Sends codes of verifications."""

    def __init__(self, vault: Vault, post: Post, rules: Rules) -> None:
        self._vault = vault
        self._post = post
        self._rules = rules

    async def send(
        self,
        tx: AsyncConnection,
        customer: Row,
        old: Verification,
        phone: str,
        asked: limits.Asked,
        now: datetime,
    ) -> Verification:
        """`old` with a new code on its way to `phone`; of a provider's own check it is only counted
        that there will be one, and the one before is good until then. Raises RateLimited."""
        await limits.pause(tx, self._vault.phone_hash(phone), now)
        if old.method in ("sms_code", "sms_reply"):
            sent = await self._send_message(tx, customer, old, phone, asked, now)
        else:
            await self._count(tx, asked, 1, now)
            sent = old
        if old.purpose == "phone_change" and customer.data_key is not None:
            sealed = self._vault.seal_text(
                customer.id, customer.data_key, phone, old.id.bytes + b"phone"
            )
            sent = replace(sent, phone_encrypted=sealed)
        return replace(sent, sends=old.sends + 1, sent_at=now, expires_at=now + LIFE)

    async def _send_message(
        self,
        tx: AsyncConnection,
        customer: Row,
        old: Verification,
        phone: str,
        asked: limits.Asked,
        now: datetime,
    ) -> Verification:
        code = new_code(old.method)
        kind: Kind = "consent" if old.purpose == "registration" else "code"
        minutes = LIFE // timedelta(minutes=1)
        variables: dict[str, Value] = {"code": code, "purpose": old.purpose, "minutes": minutes}
        if old.points is not None:
            variables["points"] = format_amount(old.points)
        rendered = await self._post.render(tx, kind, old.language, variables)
        message = NewMessage(
            id=uuid7(),
            customer_id=customer.id,
            phone=phone,
            purpose="verification",
            text=rendered.text,
            language=old.language,
            expires_at=now + LIFE,
            verification_id=old.id,
        )
        await self._post.enqueue(tx, message)
        if customer.data_key is None:
            raise ValueError("codes are not sent to who was erased")
        kept = rendered.text.replace(code, CODE_MARK)
        of = old.id.bytes + b"text"
        await self._count(tx, asked, rendered.segments, now)
        return replace(
            old,
            code_mac=self._vault.code_mac(old.id, code),
            text_version=rendered.version,
            text_encrypted=self._vault.seal_text(customer.id, customer.data_key, kept, of),
            message_id=message.id,
        )

    async def _count(
        self, tx: AsyncConnection, asked: limits.Asked, segments: int, now: datetime
    ) -> None:
        cost = segments * self._rules.price
        await limits.count(tx, self._vault, self._rules.limits, asked, cost, now)
