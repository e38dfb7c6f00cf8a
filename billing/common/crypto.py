"""Keys and ciphers for personal data.

One master secret (BONUS_SECRET_KEY) is stretched into separate keys per purpose. Every person
has a data key of his own, wrapped by the master key: to forget a person, forget that key.
"""

from __future__ import annotations

import hmac
import os

from cryptography.exceptions import InvalidTag
from cryptography.hazmat.primitives.ciphers.aead import AESGCM
from cryptography.hazmat.primitives.hashes import SHA256
from cryptography.hazmat.primitives.kdf.hkdf import HKDF

_NONCE_BYTES = 12


class CannotDecrypt(Exception):
    """The data was made with another secret key, or was changed."""


def derive(secret: bytes, purpose: str) -> bytes:
    """A 256-bit key for one purpose."""
    return HKDF(SHA256(), 32, salt=None, info=b"bonus-ledger/" + purpose.encode()).derive(secret)


def keyed_hash(key: bytes, text: str) -> bytes:
    """A 256-bit name of `text` that nobody without `key` can compute or guess back."""
    return hmac.digest(key, text.encode(), "sha256")


def new_data_key() -> bytes:
    return os.urandom(32)


def seal(key: bytes, plain: bytes, context: bytes) -> bytes:
    """AES-256-GCM: nonce and ciphertext, bound to `context` (whose data, which column)."""
    nonce = os.urandom(_NONCE_BYTES)
    return nonce + AESGCM(key).encrypt(nonce, plain, context)


def unseal(key: bytes, sealed: bytes, context: bytes) -> bytes:
    """What was sealed. Raises CannotDecrypt."""
    try:
        return AESGCM(key).decrypt(sealed[:_NONCE_BYTES], sealed[_NONCE_BYTES:], context)
    except (InvalidTag, ValueError) as error:
        raise CannotDecrypt(
            "Personal data cannot be decrypted: BONUS_SECRET_KEY is not the one it was "
            "written with, or the data was changed."
        ) from error
