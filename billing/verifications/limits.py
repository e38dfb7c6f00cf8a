"""How often codes are sent: counted in the database, before they are sent."""

from __future__ import annotations

import ipaddress
import math
from collections.abc import Iterator, Mapping
from datetime import UTC, datetime, timedelta
from typing import Final

from sqlalchemy import text
from sqlalchemy.ext.asyncio import AsyncConnection

from billing.common.errors import RateLimited
from billing.common.settings_values import Limit, Scope
from billing.customers.vault import Vault
from billing.verifications.model import FORGOTTEN_AFTER, country_of, pause_after

_COUNT = text("""
INSERT INTO billing.verification_limits AS l (scope, key, since, until, used)
VALUES (:scope, :key, :since, :until, :amount)
ON CONFLICT (scope, key, since) DO UPDATE SET used = l.used + excluded.used
WHERE l.used + excluded.used <= :most
RETURNING used
""")
_TOUCH = text("""
INSERT INTO billing.verification_phones (phone_hash, sends, last_sent_at) VALUES (:phone, 0, :now)
ON CONFLICT (phone_hash) DO UPDATE SET phone_hash = excluded.phone_hash
RETURNING sends, last_sent_at
""")
_SENT = text("""
UPDATE billing.verification_phones SET sends = :sends, last_sent_at = :now
WHERE phone_hash = :phone
""")
_FORGET_LIMITS = text("DELETE FROM billing.verification_limits WHERE until < :before")
_FORGET_PHONES = text("DELETE FROM billing.verification_phones WHERE last_sent_at < :before")

_WORDS: Final[Mapping[Scope, str]] = {
    "phone": "this phone",
    "cashier": "this cashier",
    "key": "this API key",
    "store": "this store",
    "address": "this address",
    "prefix": "phones of this range",
    "country": "phones of this country",
    "cost": "the chain in a day",
}


class Asked(dict[Scope, str]):
    """Who and what a code is sent for, by what is counted."""

    @classmethod
    def of(
        cls, phone: str, key: str, seller: str | None, store: str | None, address: str | None
    ) -> Asked:
        """A seller is what somebody typed: the key that names ever new ones is counted, too."""
        asked = cls(phone=phone, prefix=phone[:-4], country=country_of(phone))
        asked["cashier"] = f"{key}/{seller or ''}"
        asked["key"] = key
        asked["cost"] = ""
        if store is not None:
            asked["store"] = store
        if address is not None:
            asked["address"] = address
        return asked


def counted_address(given: str | None, peer: str) -> str | None:
    """The address that is counted: the one a website names of its visitor, else that of the
    connection if it is of the internet. Behind a proxy or in a store's network one address
    stands for many. Of IPv6 the first 64 bits count: the rest is the visitor's to choose."""
    try:
        found = ipaddress.ip_address(peer if given is None else given)
    except ValueError:
        return None
    if isinstance(found, ipaddress.IPv6Address):
        found = found.ipv4_mapped or found
    if given is None and not found.is_global:
        return None
    if isinstance(found, ipaddress.IPv6Address):
        found = ipaddress.IPv6Address(int(found) >> 64 << 64)
    return str(found)


async def pause(tx: AsyncConnection, phone: bytes, now: datetime) -> int:
    """Lock the phone's turn, and count the code that is about to be sent; how many there were.

    Raises RateLimited before the pause after the last one is over.
    """
    row = (await tx.execute(_TOUCH, {"phone": phone, "now": now})).one()
    sends = 0 if row.last_sent_at + FORGOTTEN_AFTER <= now else row.sends
    until = row.last_sent_at + pause_after(sends)
    if now < until:
        raise too_soon(until - now)
    await tx.execute(_SENT, {"phone": phone, "now": now, "sends": sends + 1})
    return int(sends)


async def count(
    tx: AsyncConnection,
    vault: Vault,
    limits: tuple[Limit, ...],
    asked: Asked,
    cost: int,
    now: datetime,
) -> None:
    """Count one send of `cost`, in all its limits or, raising RateLimited, in none."""
    for scope, limit, amount, key in sorted(_rows(vault, limits, asked, cost)):
        seconds = int(now.timestamp()) // limit.seconds * limit.seconds
        since = datetime.fromtimestamp(seconds, UTC)
        until = since + timedelta(seconds=limit.seconds)
        values = {"scope": scope, "key": key, "since": since, "until": until}
        found = None
        if amount <= limit.most:
            found = await tx.scalar(_COUNT, values | {"amount": amount, "most": limit.most})
        if found is None:
            raise RateLimited(
                f"So many codes are not sent for {_WORDS[limit.scope]}; try again later.",
                retry_after_s=_seconds(until - now),
                limit=limit.scope,
            )


async def forget(tx: AsyncConnection, now: datetime) -> None:
    """Drop what counts no more."""
    await tx.execute(_FORGET_LIMITS, {"before": now - timedelta(days=1)})
    await tx.execute(_FORGET_PHONES, {"before": now - FORGOTTEN_AFTER})


def too_soon(left: timedelta) -> RateLimited:
    return RateLimited(
        "A code was sent just now; wait before the next one is sent.",
        retry_after_s=_seconds(left),
        limit="pause",
    )


def _rows(
    vault: Vault, limits: tuple[Limit, ...], asked: Asked, cost: int
) -> Iterator[tuple[str, Limit, int, bytes]]:
    for limit in limits:
        if limit.scope in asked:
            scope = f"{limit.scope}/{limit.seconds}"
            key = vault.limit_key(scope, asked[limit.scope])
            yield scope, limit, cost if limit.scope == "cost" else 1, key


def _seconds(left: timedelta) -> int:
    return max(1, math.ceil(left.total_seconds()))
