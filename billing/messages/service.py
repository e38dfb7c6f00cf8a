"""Putting messages into the queue, and looking at what became of them."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from datetime import datetime, timedelta
from typing import Any, Final
from uuid import UUID

from sqlalchemy.ext.asyncio import AsyncConnection

from billing.common.db import Database
from billing.common.errors import Conflict, NotFound
from billing.customers.model import mask_phone
from billing.messages import store
from billing.messages.model import (
    URGENCY,
    Attempt,
    Delivery,
    Language,
    Message,
    NewMessage,
    Written,
)
from billing.messages.sealing import MessageVault
from billing.messages.segments import measure
from billing.messages.templates import Rendered, render
from billing.messages.wording import Kind, Value
from ledger.group import Clock
from ledger.service import utc_now

REPLAYED_FOR: Final = timedelta(days=1)


class Messages:
    """The queue as the rest of the service sees it. Whoever sends takes from it: integrations."""

    def __init__(self, database: Database, vault: MessageVault, *, clock: Clock = utc_now) -> None:
        self._database = database
        self._vault = vault
        self._clock = clock

    async def enqueue(self, tx: AsyncConnection, new: NewMessage) -> bool:
        """Queue a message in the caller's transaction; False when its cause has one already.

        It leaves within a second of the commit. Raises Overloaded while the secret key is not
        confirmed."""
        return await self.enqueue_many(tx, [new]) == 1

    async def enqueue_many(self, tx: AsyncConnection, new: Sequence[NewMessage]) -> int:
        """How many were queued."""
        now = self._clock()
        return await store.insert(tx, [self._row(one, now) for one in new])

    async def opt_out(self, tx: AsyncConnection, phone: str, via: str) -> None:
        """No notices to this phone from now on, also of those that wait."""
        await store.opt_out(tx, self._vault.phone_hash(phone), via, self._clock())

    async def opt_in(self, tx: AsyncConnection, phone: str) -> None:
        await store.opt_in(tx, self._vault.phone_hash(phone))

    async def render(
        self,
        tx: AsyncConnection,
        kind: Kind,
        language: Language,
        variables: Mapping[str, Value],
    ) -> Rendered:
        """The text of a kind as of now, to be queued. Raises ValueError for a wrong value."""
        return await render(tx, kind, language, variables)

    async def delivery_of(self, tx: AsyncConnection, message_id: UUID) -> Delivery | None:
        """Where a message is; None when it is forgotten."""
        return await store.delivery_of(tx, message_id)

    async def forget_customer(self, tx: AsyncConnection, customer_id: UUID) -> None:
        """Take out of messages whatever names the person; what waits is not sent."""
        await store.forget_customer(tx, customer_id, self._clock())

    async def of_person(
        self, customers: Sequence[UUID], hashes: Sequence[bytes], limit: int
    ) -> tuple[list[Message], list[Written]]:
        """What was sent to a person and what came from them, newest first."""
        return (
            await store.sent_to(self._database, customers, hashes, limit),
            await store.written_by(self._database, hashes, limit),
        )

    async def page(
        self, before: UUID, limit: int, customer_id: UUID | None, status: str | None
    ) -> list[Message]:
        """Newest first; the status "dead" is what waits for a person."""
        return await store.page(self._database, before, limit, customer_id, status)

    async def get(self, message_id: UUID) -> tuple[Message, list[Attempt]]:
        """A message and its newest attempts. Raises NotFound."""
        one = await store.one(self._database, message_id)
        if one is None:
            raise NotFound(f"There is no message {message_id}; old ones are forgotten.")
        return one, await store.history(self._database, message_id)

    async def replay(self, message_id: UUID) -> Message:
        """Send a dead message once more. Raises NotFound, Conflict message_not_dead."""
        now = self._clock()
        async with self._database.transaction() as tx:
            done = await store.replay(tx, [message_id], now, now + REPLAYED_FOR)
        message, _ = await self.get(message_id)
        if not done:
            raise Conflict(
                "message_not_dead",
                "Only a message that waits for a person is sent once more, and never a code: ask "
                "for a new one.",
            )
        return message

    async def replay_dead(self, limit: int) -> int:
        """Send up to `limit` dead messages once more, oldest first; how many."""
        ids = await store.dead(self._database, limit)
        now = self._clock()
        async with self._database.transaction(timeout_s=store.TIMEOUT_S) as tx:
            return len(await store.replay(tx, ids, now, now + REPLAYED_FOR))

    def _row(self, new: NewMessage, now: datetime) -> tuple[Any, ...]:
        values: dict[str, Any] = {
            "id": new.id,
            "customer_id": new.customer_id,
            "phone_hash": self._vault.phone_hash(new.phone),
            "phone_masked": mask_phone(new.phone),
            "phone_encrypted": self._vault.seal(new.id, "phone", new.phone),
            "text_encrypted": self._vault.seal(new.id, "text", new.text),
            "purpose": new.purpose,
            "kind": new.kind,
            "language": new.language,
            "verification_id": new.verification_id,
            "cause": new.cause,
            "zone": new.zone,
            "via": new.via,
            "urgency": URGENCY[new.purpose],
            "segments": measure(new.text).segments,
            "created_at": now,
            "not_before": max(new.not_before or now, now),
            "expires_at": new.expires_at,
        }
        return tuple(values[name] for name in store.COLUMNS)
