"""What the outside has to offer to verifications: sending messages, and providers' own checks."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Protocol
from uuid import UUID

from sqlalchemy.ext.asyncio import AsyncConnection

from billing.messages.checks import CheckStarted
from billing.messages.model import Delivery, Language, NewMessage
from billing.messages.templates import Rendered
from billing.messages.wording import Kind, Value


class Post(Protocol):
    """Texts and the queue of messages; each call is part of the caller's transaction."""

    async def render(
        self, tx: AsyncConnection, kind: Kind, language: Language, variables: Mapping[str, Value]
    ) -> Rendered: ...

    async def enqueue(self, tx: AsyncConnection, new: NewMessage) -> bool: ...

    async def delivery_of(self, tx: AsyncConnection, message_id: UUID) -> Delivery | None: ...


class Gateway(Protocol):
    """A provider that makes and checks codes itself (`provider`), or calls (`flash_call`)."""

    async def start(self, verification_id: UUID, phone: str, language: Language) -> CheckStarted:
        """Begin; safe to repeat for the same id. Raises Overloaded when it cannot be told."""

    async def check(self, ref: str, code: str) -> bool:
        """Whether the provider takes the code. Raises Overloaded."""

    async def cancel(self, ref: str) -> None:
        """End a check, as far as the provider can. Raises Overloaded."""
