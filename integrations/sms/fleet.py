"""The providers in force, each with an open connection that is made anew when it was changed."""

from __future__ import annotations

import asyncio
from datetime import UTC, datetime
from pathlib import Path
from typing import Final

import msgspec
import structlog

from billing.common.crypto import CannotDecrypt
from billing.common.errors import ValidationFailed
from billing.common.settings import Settings
from integrations.sms.registry import Made, make
from integrations.sms.store import ProviderRow
from integrations.sms.vault import SmsVault
from integrations.sms.wire import TIMEOUT_S
from integrations.webhooks.guard import Guard

CONSOLE: Final = "console"
_NEVER: Final = datetime(1970, 1, 1, tzinfo=UTC)
PATH: Final = "/v1/webhooks/sms"

log = structlog.stdlib.get_logger(__name__)


class Unusable(Exception):
    """The provider cannot be asked as it is set; the message says why."""


def console_row(now: datetime) -> ProviderRow:
    """What sends when no provider is set up and the settings allow it."""
    return ProviderRow(
        code=CONSOLE,
        kind="console",
        state="active",
        priority=0,
        rate_per_minute=600_000,
        settings="{}",
        secrets=b"",
        token=b"",
        version=0,
        next_slot_at=_NEVER,
        not_before=None,
        failures=0,
        last_error=None,
        last_error_at=None,
        created_at=now,
        updated_at=now,
    )


class Fleet:
    """Connections of a process, by the provider's code."""

    def __init__(
        self,
        vault: SmsVault,
        guard: Guard,
        folder: Path,
        *,
        console: bool,
        public_url: str,
        timeout_s: float = TIMEOUT_S,
    ) -> None:
        self._vault = vault
        self._guard = guard
        self._folder = folder
        self._public_url = public_url
        self._timeout_s = timeout_s
        self.console = console
        self._made: dict[str, tuple[int, Made]] = {}
        self._closing: set[asyncio.Task[None]] = set()

    def of(self, row: ProviderRow) -> Made:
        """The connection of a provider. Raises Unusable."""
        known = self._made.get(row.code)
        if known is not None and known[0] == row.version:
            return known[1]
        made = self._make(row)
        if known is not None:
            # What is on its way through the old one has its time to end.
            self._close_later(known[1])
        self._made[row.code] = (row.version, made)
        return made

    def token(self, row: ProviderRow) -> str:
        """The secret part of its webhooks' address. Raises CannotDecrypt."""
        return self._vault.unseal(row.code, "token", row.token).decode()

    def address(self, code: str, token: str) -> str:
        """Where its webhooks go, as the provider sees it."""
        return f"{self._public_url}{PATH}/{code}/{token}"

    def callback(self, row: ProviderRow) -> str:
        """The address of reports; empty when the service has none the provider could reach."""
        if not self._public_url or not row.token:
            return ""
        return self.address(row.code, self.token(row))

    async def close(self) -> None:
        for task in self._closing:
            task.cancel()
        await asyncio.gather(*self._closing, return_exceptions=True)
        for _, made in self._made.values():
            await made.provider.close()

    def _make(self, row: ProviderRow) -> Made:
        try:
            kept = self._vault.unseal(row.code, "secrets", row.secrets) if row.secrets else b"{}"
            return make(
                row.kind,
                msgspec.json.decode(row.settings),
                msgspec.json.decode(kept),
                self._guard,
                self._folder,
                self._timeout_s,
            )
        except (CannotDecrypt, LookupError) as error:
            raise Unusable(str(error)) from None
        except ValidationFailed as error:
            raise Unusable(error.detail) from None

    def _close_later(self, made: Made) -> None:
        async def close() -> None:
            try:
                await asyncio.sleep(60)
            finally:
                await made.provider.close()

        task = asyncio.create_task(close())
        self._closing.add(task)
        task.add_done_callback(self._closing.discard)


def guard_of(settings: Settings) -> Guard:
    return Guard(plain=settings.sms_allow_http, hosts=settings.sms_allowed_hosts)


def fleet_of(settings: Settings) -> Fleet:
    return Fleet(
        SmsVault(settings.secret_key),
        guard_of(settings),
        settings.data_dir,
        console=settings.sms_console,
        public_url=settings.public_url,
    )
