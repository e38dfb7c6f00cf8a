"""Secrets of providers, the tokens of their webhooks, and raw webhooks at rest."""

from __future__ import annotations

from billing.common import crypto


class SmsVault:
    """Everything is bound to the provider's code and to what it is."""

    def __init__(self, secret_key: bytes) -> None:
        self._key = crypto.derive(secret_key, "sms providers")

    def seal(self, provider: str, part: str, plain: bytes) -> bytes:
        return crypto.seal(self._key, plain, f"{provider}/{part}".encode())

    def unseal(self, provider: str, part: str, sealed: bytes) -> bytes:
        """Raises crypto.CannotDecrypt."""
        return crypto.unseal(self._key, sealed, f"{provider}/{part}".encode())
