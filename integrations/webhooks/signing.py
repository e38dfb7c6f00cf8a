"""Signatures of Standard Webhooks 1.0.0, and the secrets they are made with.

A secret belongs to one subscription, is shown once, and rests sealed with the master key.
"""

from __future__ import annotations

import base64
import hmac
import os
from collections.abc import Iterable
from hashlib import sha256
from uuid import UUID

from billing.common import crypto

PREFIX = "whsec_"
SECRET_BYTES = 32


def new_secret() -> bytes:
    return os.urandom(SECRET_BYTES)


def shown(secret: bytes) -> str:
    """A secret as the subscriber configures it."""
    return PREFIX + base64.b64encode(secret).decode()


def signature(secrets: Iterable[bytes], message_id: str, timestamp: int, body: bytes) -> str:
    """The header webhook-signature: one signature a secret. `timestamp` is Unix seconds."""
    signed = f"{message_id}.{timestamp}.".encode() + body
    made = (hmac.new(secret, signed, sha256).digest() for secret in secrets)
    return " ".join(f"v1,{base64.b64encode(one).decode()}" for one in made)


class Seals:
    """Seals secrets with the master key, each bound to its subscription."""

    def __init__(self, secret_key: bytes) -> None:
        self._key = crypto.derive(secret_key, "webhook secrets")

    def seal(self, subscription: UUID, secret: bytes) -> bytes:
        return crypto.seal(self._key, secret, subscription.bytes)

    def unseal(self, subscription: UUID, sealed: bytes) -> bytes:
        """Raises crypto.CannotDecrypt."""
        return crypto.unseal(self._key, sealed, subscription.bytes)
