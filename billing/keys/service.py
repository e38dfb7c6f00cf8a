"""Making, listing and revoking keys, and telling who calls."""

from __future__ import annotations

import time
from collections import OrderedDict
from collections.abc import Callable
from datetime import UTC, datetime
from typing import TypeVar
from uuid import UUID

from billing.common.auth import Principal, Role
from billing.common.batch import Batcher
from billing.common.db import Database
from billing.common.errors import NotFound, Unauthorized, ValidationFailed
from billing.keys import store
from billing.keys.model import PREFIX, ApiKey, hash_of, new_key
from ledger.ids import uuid7

T = TypeVar("T")

KNOWN_S = 5.0
"""How long a revoked key may still work, and a known one works without the database."""
UNKNOWN_S = 1.0
MAX_CACHED = 10_000
MAX_NAME = 100
"""It is the author of what the key does, on every transaction."""

_SCHEME = b"bearer "
_HELP = "Send Authorization: Bearer <key>; `bonus keys create` makes one."


class ApiKeys:
    """Authenticates from memory; each key is asked of the database at most every 5 s."""

    def __init__(self, database: Database, clock: Callable[[], float] = time.monotonic) -> None:
        self._database = database
        self._clock = clock
        self._known: OrderedDict[bytes, tuple[float, Principal]] = OrderedDict()
        self._unknown: OrderedDict[bytes, float] = OrderedDict()
        self._batcher: Batcher[bytes, Principal] = Batcher(self._load)

    def known(self, header: bytes | None) -> Principal | None:
        if header is None or (entry := self._known.get(header)) is None:
            return None
        until, principal = entry
        return principal if self._clock() < until else None

    async def authenticate(self, header: bytes | None) -> Principal:
        if header is None:
            raise Unauthorized(f"No key was sent. {_HELP}")
        digest = hash_of(_secret_of(header))
        if self._clock() < self._unknown.get(digest, 0.0):
            raise _unauthorized()
        asked = self._clock()
        principal = await self._batcher.get(digest)
        if principal is None:
            _remember(self._unknown, digest, asked + UNKNOWN_S)
            raise _unauthorized()
        _remember(self._known, header, (asked + KNOWN_S, principal))
        return principal

    async def create(
        self,
        role: Role,
        name: str,
        channel: str | None = None,
        store_code: str | None = None,
        owner: str | None = None,
    ) -> tuple[ApiKey, str]:
        """A new key and its secret. Raises ValidationFailed for an unknown channel or store, and
        for a name or owner that does not fit into a line."""
        _must_fit("/name", name)
        if owner is not None:
            _must_fit("/owner", owner)
        secret = new_key(role)
        async with self._database.transaction() as tx:
            if store_code is not None:
                of_store = await store.channel_of_store(tx, store_code)
                if of_store is None:
                    raise ValidationFailed.at("/store", f"there is no store {store_code!r}")
                if channel not in (None, of_store):
                    raise ValidationFailed.at(
                        "/channel", f"store {store_code!r} is of channel {of_store!r}"
                    )
                channel = of_store
            elif channel is not None and not await store.has_channel(tx, channel):
                raise ValidationFailed.at("/channel", f"there is no channel {channel!r}")
            key = ApiKey(uuid7(), name, role, channel, store_code, datetime.now(UTC), None, owner)
            await store.insert(tx, key, hash_of(secret.encode()))
        return key, secret

    async def all(self) -> tuple[ApiKey, ...]:
        """All keys, revoked ones too, oldest first."""
        async with self._database.transaction() as tx:
            return await store.read_all(tx)

    async def revoke(self, key_id: UUID) -> ApiKey:
        """Revoke a key for ever; it stops working within 5 s. Raises NotFound."""
        async with self._database.transaction() as tx:
            key = await store.revoke(tx, key_id, datetime.now(UTC))
        if key is None:
            raise NotFound(f"There is no key {key_id}; `bonus keys list` shows all.")
        return key

    async def _load(self, digests: list[bytes]) -> dict[bytes, Principal]:
        return await store.read_principals(self._database, digests)


def _must_fit(pointer: str, name: str) -> None:
    if not 1 <= len(name) <= MAX_NAME or not name.isprintable() or name.isspace():
        raise ValidationFailed.at(pointer, f"must be 1 to {MAX_NAME} printable characters")


def _secret_of(header: bytes) -> bytes:
    secret = header[len(_SCHEME) :].strip()
    if not header.lower().startswith(_SCHEME) or not secret.startswith(PREFIX.encode()):
        raise Unauthorized(f"The Authorization header has no key of ours. {_HELP}")
    return secret


def _unauthorized() -> Unauthorized:
    return Unauthorized(f"The key is unknown or was revoked. {_HELP}")


def _remember(cache: OrderedDict[bytes, T], key: bytes, value: T) -> None:
    cache[key] = value
    cache.move_to_end(key)
    if len(cache) > MAX_CACHED:
        cache.popitem(last=False)
