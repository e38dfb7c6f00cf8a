"""API keys: random, recognisable, kept only as hashes."""

from __future__ import annotations

import secrets
from datetime import datetime
from hashlib import sha256
from uuid import UUID

import msgspec

from billing.common.auth import Role

PREFIX = "bonus_"
"""So that scanners for leaked secrets, and people, recognise a key."""


class ApiKey(msgspec.Struct, frozen=True):
    """A key as an administrator sees it; the key itself is shown once, when it is made."""

    id: UUID
    name: str
    role: Role
    channel: str | None
    store: str | None
    created_at: datetime
    revoked_at: datetime | None
    owner: str | None = None


def new_key(role: Role) -> str:
    """A new secret of 256 random bits, which is why a fast hash is enough to keep it."""
    return f"{PREFIX}{role}_{secrets.token_urlsafe(32)}"


def hash_of(key: bytes) -> bytes:
    return sha256(key).digest()
