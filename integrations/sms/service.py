"""What an admin does with providers; each change is one transaction."""

from __future__ import annotations

import asyncio
import re
from datetime import timedelta
from typing import Any, Final, get_args
from uuid import UUID

import msgspec
from sqlalchemy import text

from billing.common.crypto import CannotDecrypt
from billing.common.db import Database
from billing.common.errors import Conflict, NotFound, ValidationFailed
from billing.customers.model import normalise_phone
from billing.messages.model import NewMessage
from billing.messages.service import Messages
from integrations.sms import store
from integrations.sms.fleet import CONSOLE, Fleet, Unusable, console_row
from integrations.sms.protocol import Balance, CannotAsk
from integrations.sms.registry import read
from integrations.sms.schemas import (
    FailedAttempt,
    SmsProviderIn,
    SmsTestIn,
    SmsWebhookOut,
    WebhookState,
)
from integrations.sms.store import ProviderRow
from integrations.sms.vault import SmsVault
from integrations.sms.webhooks import new_token
from ledger.group import Clock
from ledger.ids import uuid7
from ledger.service import utc_now

MAX_PROVIDERS: Final = 20
TEST_WITHIN: Final = timedelta(minutes=10)
BALANCE_TIMEOUT_S: Final = 20.0
_CODE: Final = re.compile(r"[a-z0-9][a-z0-9-]{0,31}")

_WEBHOOK: Final = (
    "position, id, provider, signed, state, attempts, received_at, finished_at, result"
)
WEBHOOKS: Final = {
    state: f"""
SELECT {_WEBHOOK} FROM billing.sms_webhooks
WHERE position < $1 {f"AND state = '{state}'" if state else ""} ORDER BY position DESC LIMIT $2
"""  # noqa: S608
    for state in (None, *get_args(WebhookState))
}
_REPLAY = text("""
UPDATE billing.sms_webhooks SET state = 'pending', attempts = 0, next_at = :now, finished_at = NULL
WHERE id = :id AND state = 'dead' AND content IS NOT NULL RETURNING id
""")
_ONE: Final = f"SELECT {_WEBHOOK} FROM billing.sms_webhooks WHERE id = $1"  # noqa: S608


class SmsProviders:
    """Providers, as the API shows and changes them."""

    def __init__(
        self,
        database: Database,
        vault: SmsVault,
        fleet: Fleet,
        messages: Messages,
        region: str,
        *,
        clock: Clock = utc_now,
    ) -> None:
        self._database = database
        self._vault = vault
        self._fleet = fleet
        self._messages = messages
        self._region = region
        self._clock = clock

    async def all(self) -> list[ProviderRow]:
        """By priority. Without any, the console when the settings allow it."""
        rows = await store.read_all(self._database)
        return rows or ([console_row(self._clock())] if self._fleet.console else [])

    async def get(self, code: str) -> tuple[ProviderRow, list[FailedAttempt]]:
        """A provider, and its newest attempts that did not go well. Raises NotFound."""
        row = await self._row(code)
        errors = await self._database.fetch(store.ERRORS, code, store.SHOWN_ERRORS)
        return row, [FailedAttempt(**dict(one)) for one in errors]

    async def put(self, code: str, body: SmsProviderIn) -> tuple[ProviderRow, bool]:
        """Set a provider up, or anew; whether it is new. Raises ValidationFailed, Conflict."""
        if not _CODE.fullmatch(code) or (code == CONSOLE and body.kind != CONSOLE):
            raise ValidationFailed.at(
                "/path/code", "must be up to 32 small letters, digits and -, and not console"
            )
        now = self._clock()
        async with self._database.transaction() as tx:
            known = await store.count(tx)
            old = await store.lock(tx, code)
            if old is None and known >= MAX_PROVIDERS:
                raise Conflict(
                    "too_many_providers", f"There are {MAX_PROVIDERS} providers already."
                )
            secrets = body.secrets if body.secrets is not None else self._kept(old, body)
            read(body.kind, body.settings, secrets)
            token = old.token if old is not None else self._sealed(code, "token", new_token())
            values: dict[str, Any] = {
                "code": code,
                "kind": body.kind,
                "state": body.state,
                "priority": body.priority,
                "rate": body.rate_per_minute,
                "settings": msgspec.json.encode(body.settings).decode(),
                "secrets": self._sealed(code, "secrets", msgspec.json.encode(secrets).decode()),
                "token": token,
                "now": now,
            }
            await store.write(tx, values)
        return await self._row(code), old is None

    async def delete(self, code: str) -> ProviderRow:
        """Send nothing through it any more; what it has is no longer asked about."""
        row = await self._row(code)
        async with self._database.transaction() as tx:
            await store.delete(tx, code)
        return row

    async def rotate_token(self, code: str) -> ProviderRow:
        """Another address for its webhooks; the old one is closed at once."""
        async with self._database.transaction() as tx:
            if await store.lock(tx, code) is None:
                raise NotFound(f"There is no SMS provider {code!r}.")
            token = self._sealed(code, "token", new_token())
            await store.write_token(tx, code, token, self._clock())
        return await self._row(code)

    async def test(self, code: str, body: SmsTestIn) -> UUID:
        """Send a message through this very provider; its id. Raises NotFound."""
        row = await self._row(code)
        if row.state != "active":
            raise Conflict("provider_paused", "The provider is paused; make it active first.")
        try:
            phone = normalise_phone(body.phone, self._region)
        except ValueError as error:
            raise ValidationFailed.at("/phone", str(error)) from None
        message_id = uuid7()
        async with self._database.transaction() as tx:
            await self._messages.enqueue(
                tx,
                NewMessage(
                    id=message_id,
                    phone=phone,
                    purpose="test",
                    text=body.text,
                    language=body.language,
                    expires_at=self._clock() + TEST_WITHIN,
                    via=code,
                ),
            )
        return message_id

    async def balance(self, code: str) -> Balance:
        """Ask the provider. Raises NotFound, Conflict balance_unknown."""
        row = await self._row(code)
        try:
            async with asyncio.timeout(BALANCE_TIMEOUT_S):
                return await self._fleet.of(row).provider.balance()
        except (CannotAsk, Unusable, TimeoutError) as error:
            raise Conflict(
                "balance_unknown", f"The provider did not tell: {error or 'no answer in time'}"
            ) from None

    def secret_names(self, row: ProviderRow) -> list[str]:
        """Those that are set; what they are is never told."""
        try:
            return sorted(name for name, value in self._secrets(row).items() if value)
        except CannotDecrypt:
            return []

    def webhook_url(self, row: ProviderRow) -> str:
        """Empty for the console, which has none."""
        try:
            return self._fleet.address(row.code, self._fleet.token(row)) if row.token else ""
        except CannotDecrypt:
            return ""

    async def webhooks(
        self, before: int, limit: int, state: WebhookState | None
    ) -> list[tuple[int, SmsWebhookOut]]:
        """Newest first, each with its place."""
        rows = await self._database.fetch(WEBHOOKS[state], before, limit)
        return [(row["position"], _webhook(row)) for row in rows]

    async def replay_webhook(self, webhook_id: UUID) -> SmsWebhookOut:
        """Work on a dead webhook once more. Raises NotFound."""
        async with self._database.transaction() as tx:
            await tx.execute(_REPLAY, {"id": webhook_id, "now": self._clock()})
        rows = await self._database.fetch(_ONE, webhook_id)
        if not rows:
            raise NotFound(f"There is no webhook {webhook_id}; old ones are forgotten.")
        return _webhook(rows[0])

    async def _row(self, code: str) -> ProviderRow:
        row = await store.read(self._database, code)
        if row is None and code == CONSOLE:
            row = next((one for one in await self.all() if one.code == CONSOLE), None)
        if row is None:
            raise NotFound(f"There is no SMS provider {code!r}.")
        return row

    def _kept(self, old: ProviderRow | None, body: SmsProviderIn) -> dict[str, Any]:
        """The secrets it has, when it stays of its kind."""
        if old is None or old.kind != body.kind:
            return {}
        try:
            return self._secrets(old)
        except CannotDecrypt:
            return {}

    def _secrets(self, row: ProviderRow) -> dict[str, Any]:
        if not row.secrets:
            return {}
        found: dict[str, Any] = msgspec.json.decode(
            self._vault.unseal(row.code, "secrets", row.secrets)
        )
        return found

    def _sealed(self, code: str, part: str, plain: str) -> bytes:
        return self._vault.seal(code, part, plain.encode())


def _webhook(row: Any) -> SmsWebhookOut:
    return SmsWebhookOut(**{name: row[name] for name in SmsWebhookOut.__struct_fields__})
