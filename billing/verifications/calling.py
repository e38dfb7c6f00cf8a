"""Checks that providers make: begun outside of any transaction, since tills would wait for each
other's calls. What is lost on the way leaves nothing that looks open and cannot be confirmed."""

from __future__ import annotations

import asyncio
from collections.abc import Mapping
from contextlib import suppress
from typing import Final

from msgspec.structs import replace
from sqlalchemy.exc import IntegrityError

from billing.common.db import Database
from billing.common.errors import Overloaded, ValidationFailed
from billing.customers.vault import Vault
from billing.messages.checks import CheckStarted
from billing.verifications import store
from billing.verifications.gateways import Gateway
from billing.verifications.model import Method, Verification

CANCEL_S: Final = 3.0
CLEAN_UP_S: Final = 2.0
TRIES: Final = 3


class Calling:
    """Begins checks of providers, and asks providers about codes."""

    def __init__(
        self, database: Database, vault: Vault, gateways: Mapping[Method, Gateway]
    ) -> None:
        self._database = database
        self._vault = vault
        self.gateways = gateways

    def must_be_offered(self, method: Method) -> None:
        """Raise ValidationFailed for a method that needs a provider, and has none."""
        if method not in ("sms_code", "sms_reply") and method not in self.gateways:
            raise ValidationFailed.at("/method", "is offered by no provider of this service")

    async def begin(
        self, sent: Verification, phone: str, before: Verification | None = None
    ) -> Verification:
        """`sent`, begun by its provider; `before` is what it took the place of. Nothing to do for
        a code that we send. Raises Overloaded; one that could not be begun is over then."""
        gateway = self.gateways.get(sent.method)
        if gateway is None:
            return sent
        try:
            if before is not None and before.provider_ref is not None:
                await self._cancel(before.provider_ref)
            started = await gateway.start(sent.id, phone, sent.language)
            return await self._note(sent, started)
        except (Exception, asyncio.CancelledError):
            await asyncio.shield(self._let_go(sent))
            raise

    async def approves(self, ref: str, code: str) -> bool:
        """Whether the provider takes the code. Raises Overloaded when it does not say."""
        gateway = self.gateways.get("provider")
        return gateway is not None and await gateway.check(ref, code)

    async def _cancel(self, ref: str) -> None:
        """So that the next check has a code, and attempts at the provider, of its own. A provider
        that takes its time is not waited for."""
        gateway = self.gateways.get("provider")
        if gateway is not None:
            with suppress(TimeoutError):
                async with asyncio.timeout(CANCEL_S):
                    await gateway.cancel(ref)

    async def _note(self, sent: Verification, started: CheckStarted) -> Verification:
        """Keep how it is confirmed: by the provider's ref, or by the code that the provider told.

        A provider with a check of the phone under way (of another purpose, or one that could not
        be cancelled) sends its code once more under the same ref: that is the newest's now.
        """
        told = started.code
        ref = started.ref if told is None else None
        mac = None if told is None else self._vault.code_mac(sent.id, told)
        for _ in range(TRIES):
            with suppress(IntegrityError):
                async with self._database.transaction() as tx:
                    if ref is not None:
                        await store.take_ref(tx, ref)
                    await store.change(tx, sent.id, provider_ref=ref, code_mac=mac)
                return replace(sent, provider_ref=ref, code_mac=mac)
        raise Overloaded("Several checks of this phone began at once; ask again.", 1)

    async def _let_go(self, sent: Verification) -> None:
        with suppress(Overloaded):
            async with self._database.transaction(timeout_s=CLEAN_UP_S) as tx:
                await store.end_unconfirmable(tx, sent.id)
