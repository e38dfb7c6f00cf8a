"""Phones and texts of messages at rest: sealed with the master key, bound to their message."""

from __future__ import annotations

from uuid import UUID

from billing.common import crypto
from billing.customers.vault import Vault


class MessageVault:
    """Names phones as the customers' vault does, so that both find the same person."""

    def __init__(self, secret_key: bytes, vault: Vault) -> None:
        self._key = crypto.derive(secret_key, "messages")
        self._vault = vault

    def phone_hash(self, phone: str) -> bytes:
        """Raises Overloaded while the secret key is not confirmed."""
        return self._vault.phone_hash(phone)

    def seal(self, message_id: UUID, part: str, text: str) -> bytes:
        """`part` is what of the message it is: "phone" or "text"."""
        return crypto.seal(self._key, text.encode(), message_id.bytes + part.encode())

    def unseal(self, message_id: UUID, part: str, sealed: bytes) -> str:
        """Raises crypto.CannotDecrypt."""
        return crypto.unseal(self._key, sealed, message_id.bytes + part.encode()).decode()
