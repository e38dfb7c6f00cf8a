"""Queueing messages in the transaction of whoever causes them."""

from __future__ import annotations

from collections.abc import Mapping
from uuid import UUID

from sqlalchemy import select, update
from sqlalchemy.ext.asyncio import AsyncConnection

from billing.common import crypto
from billing.messages.model import Delivery, Language, NewMessage
from billing.messages.tables import messages
from billing.messages.templates import Rendered, render
from ledger.service import utc_now


class MessageBox:
    """Seals what is queued."""

    def __init__(self, secret_key: bytes) -> None:
        self._key = crypto.derive(secret_key, "messages")

    async def enqueue(self, tx: AsyncConnection, new: NewMessage) -> None:
        """Queue a message; it goes out after the caller's commit, or not at all."""
        of = new.id.bytes
        await tx.execute(
            messages.insert().values(
                id=new.id,
                customer_id=new.customer_id,
                purpose=new.purpose,
                status="queued",
                language=new.language,
                phone_encrypted=crypto.seal(self._key, new.phone.encode(), of + b"phone"),
                text_encrypted=crypto.seal(self._key, new.text.encode(), of + b"text"),
                not_before=new.not_before,
                expires_at=new.expires_at,
                verification_id=new.verification_id,
                created_at=utc_now(),
            )
        )

    async def read(self, tx: AsyncConnection, message_id: UUID) -> tuple[str, str]:
        """Phone and text, as whoever sends needs them."""
        columns = (messages.c.phone_encrypted, messages.c.text_encrypted)
        row = (await tx.execute(select(*columns).where(messages.c.id == message_id))).one()
        of = message_id.bytes
        return (
            crypto.unseal(self._key, row.phone_encrypted, of + b"phone").decode(),
            crypto.unseal(self._key, row.text_encrypted, of + b"text").decode(),
        )

    async def render(
        self, tx: AsyncConnection, kind: str, language: Language, variables: Mapping[str, str]
    ) -> Rendered:
        """The text of `kind`, as settings have it."""
        return render(kind, language, variables)

    async def delivery_of(self, tx: AsyncConnection, message_id: UUID) -> Delivery | None:
        """Where a message is; None when nobody knows of it any more."""
        columns = (messages.c.status, messages.c.provider_message_id)
        row = (await tx.execute(select(*columns).where(messages.c.id == message_id))).one_or_none()
        return None if row is None else Delivery(row.status, row.provider_message_id)

    async def forget_customer(self, tx: AsyncConnection, customer_id: UUID) -> None:
        """Blank phone and text of all messages of an erased person; what waits is not sent."""
        waits = messages.c.status == "queued"
        mine = messages.c.customer_id == customer_id
        await tx.execute(update(messages).where(mine, waits).values(status="expired"))
        blank = {"phone_encrypted": None, "text_encrypted": None}
        await tx.execute(update(messages).where(mine).values(blank))
