"""The key that signs checkpoints: Ed25519, from a setting, or made from the secret key.

Whoever verifies needs the public key only. Somebody who can write all of the database, but does
not have the key, cannot make a checkpoint of a chain written anew.
"""

from __future__ import annotations

from cryptography.exceptions import InvalidSignature
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey, Ed25519PublicKey

from billing.common.crypto import derive
from billing.common.settings import Settings


class SealKey:
    """Signs; `public` are its 32 public bytes."""

    def __init__(self, seed: bytes) -> None:
        self._key = Ed25519PrivateKey.from_private_bytes(seed)
        self.public = self._key.public_key().public_bytes_raw()

    def sign(self, content: bytes) -> bytes:
        return self._key.sign(content)


def seal_key_of(settings: Settings) -> SealKey | None:
    """The key of BONUS_SEAL_KEY, or one of BONUS_SECRET_KEY's; None when neither is set."""
    secret = settings.seal_key or settings.secret_key
    return SealKey(derive(secret, "seals")) if secret else None


def is_signed(public_key: bytes, content: bytes, signature: bytes) -> bool:
    """Whether the owner of `public_key` signed `content`."""
    try:
        Ed25519PublicKey.from_public_bytes(public_key).verify(signature, content)
    except (InvalidSignature, ValueError):
        return False
    return True
