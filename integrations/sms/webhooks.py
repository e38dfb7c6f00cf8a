"""Taking a provider's webhook in: the token, the signature over the raw bytes, one row, the answer.

Nothing is worked on here. A token that is wrong and a provider that does not exist look the same,
and cost the same.
"""

from __future__ import annotations

import hmac
import os
from base64 import urlsafe_b64encode
from collections.abc import Callable, Mapping
from hashlib import sha256
from typing import Final

import msgspec
import structlog

from billing.common.crypto import CannotDecrypt
from billing.common.db import Database
from billing.common.errors import Forbidden, NotFound, Overloaded, ValidationFailed
from integrations.sms import store
from integrations.sms.fleet import Fleet, Unusable
from integrations.sms.protocol import Ack, Malformed, RawRequest
from integrations.sms.store import ProviderRow
from integrations.sms.vault import SmsVault
from ledger.group import Clock
from ledger.ids import uuid7
from ledger.service import utc_now

MAX_BODY: Final = 64 << 10
MAX_QUERY: Final = 2000
TOKEN_BYTES: Final = 24
_KEPT_HEADERS: Final = ("content-type",)
_NOBODY: Final = "0" * 32

MOST_WAITING: Final = 10_000
"""Webhooks of one provider that wait to be worked on; who sends more has to come again."""

KEEP: Final = f"""
WITH waiting AS (
    SELECT EXISTS (SELECT FROM billing.sms_webhooks WHERE provider = $2 AND state = 'pending'
                   OFFSET {MOST_WAITING - 1}) AS too_many
), kept AS (
    INSERT INTO billing.sms_webhooks (id, provider, digest, signed, content, received_at, next_at)
    SELECT $1, $2, $3, $4, $5, $6, $6 FROM waiting WHERE NOT too_many
    ON CONFLICT (provider, digest) DO NOTHING RETURNING id
)
SELECT too_many, (SELECT count(*) FROM kept) AS new FROM waiting
"""  # noqa: S608

log = structlog.stdlib.get_logger(__name__)


class Kept(msgspec.Struct, frozen=True, kw_only=True):
    """A webhook as it waits to be worked on."""

    query: str
    headers: dict[str, str]
    body: bytes


def new_token() -> str:
    """What nobody guesses: 192 bits, as it stands in an address."""
    return urlsafe_b64encode(os.urandom(TOKEN_BYTES)).decode()


class Intake:
    """What is behind POST /v1/webhooks/sms/{provider}/{token}."""

    def __init__(
        self,
        database: Database,
        fleet: Fleet,
        vault: SmsVault,
        wake: Callable[[], None],
        *,
        clock: Clock = utc_now,
    ) -> None:
        self._database = database
        self._fleet = fleet
        self._vault = vault
        self._wake = wake
        self._clock = clock

    async def take(
        self, code: str, token: str, query: bytes, headers: Mapping[bytes, bytes], body: bytes
    ) -> Ack:
        """What to answer. Raises NotFound, Forbidden for a wrong signature, ValidationFailed, and
        Overloaded when too many wait."""
        row = await store.read(self._database, code)
        if not self._is_token(row, token) or row is None:
            raise NotFound("There is nothing at this address.")
        raw = RawRequest(
            url=self._url(code, token, query),
            headers={k.decode("latin-1"): v.decode("latin-1") for k, v in headers.items()},
            body=body,
        )
        try:
            provider = self._fleet.of(row).provider
            trust = provider.verify(raw)
        except Malformed as error:
            raise ValidationFailed.at("", str(error)) from None
        except Unusable as error:
            log.error("sms_provider_unusable", provider=code, error=str(error))
            raise Overloaded("The provider is not set up rightly.", retry_after_s=60) from None
        if trust == "forged":
            log.warning("sms_webhook_forged", provider=code)
            raise Forbidden("The signature is not of these bytes.")
        if await self._keep(row, raw, query, signed=trust == "signed"):
            self._wake()
        return provider.acknowledge(raw)

    def _is_token(self, row: ProviderRow | None, token: str) -> bool:
        right = _NOBODY
        if row is not None:
            try:
                right = self._fleet.token(row)
            except CannotDecrypt:
                row = None
        same = hmac.compare_digest(sha256(right.encode()).digest(), sha256(token.encode()).digest())
        return same and row is not None

    def _url(self, code: str, token: str, query: bytes) -> str:
        """As the provider knows it, not as the request says."""
        if len(query) > MAX_QUERY:
            raise ValidationFailed.at("/query", f"must not be longer than {MAX_QUERY}")
        address = self._fleet.address(code, token)
        return f"{address}?{query.decode('latin-1')}" if query else address

    async def _keep(self, row: ProviderRow, raw: RawRequest, query: bytes, *, signed: bool) -> bool:
        """Whether it is new: the same bytes again change nothing. Raises Overloaded."""
        kept = Kept(
            query=query.decode("latin-1"),
            headers={name: raw.headers[name] for name in _KEPT_HEADERS if name in raw.headers},
            body=raw.body,
        )
        sealed = self._vault.seal(row.code, "webhook", msgspec.json.encode(kept))
        digest = sha256(b"%d\0%s%s" % (len(query), query, raw.body)).digest()
        (found,) = await self._database.fetch(
            KEEP, uuid7(), row.code, digest, signed, sealed, self._clock()
        )
        if found["too_many"]:
            raise Overloaded("Too many webhooks wait to be worked on.", retry_after_s=60)
        return bool(found["new"])
