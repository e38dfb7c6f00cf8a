"""Checks of phones by whichever provider offers them: what verifications ask the outside for."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Final
from uuid import UUID

from billing.common.db import Database
from billing.common.errors import Overloaded
from billing.messages.checks import CheckStarted, CheckUnknown, Method, PhoneCheck
from billing.programs.words import Language
from billing.verifications.model import Method as Asked
from integrations.sms import store
from integrations.sms.fleet import Fleet, Unusable

RETRY_AFTER_S: Final = 30


def gateways_of(database: Database, fleet: Fleet) -> Mapping[Asked, CheckGateway]:
    """The checks that verifications ask for. They have no place yet for a number to call."""
    return {
        "provider": CheckGateway(database, fleet, "provider"),
        "flash_call": CheckGateway(database, fleet, "flash_call"),
    }


class CheckGateway:
    """The checks of one method. A check's `ref` names the provider that makes it."""

    def __init__(self, database: Database, fleet: Fleet, method: Method) -> None:
        self._database = database
        self._fleet = fleet
        self._method = method

    async def start(self, verification_id: UUID, phone: str, language: Language) -> CheckStarted:
        """Begin a check at the first provider that takes it. While one is under way, Twilio sends
        its code once more under the same ref. Raises Overloaded when none takes it, or it cannot
        be told whether one did."""
        for row in await store.read_all(self._database):
            if row.state != "active" or (check := self._check_of(row)) is None:
                continue
            answer = await check.start(phone=phone, language=language)
            if isinstance(answer, CheckStarted):
                return CheckStarted(
                    ref=f"{row.code}:{answer.ref}", code=answer.code, call_phone=answer.call_phone
                )
            if isinstance(answer, CheckUnknown):
                raise Overloaded("The provider did not answer; ask again shortly.", RETRY_AFTER_S)
        raise Overloaded("No provider makes such a check now.", RETRY_AFTER_S)

    async def check(self, ref: str, code: str) -> bool:
        """Whether the provider takes the code. Raises Overloaded when it does not say."""
        provider, _, name = ref.partition(":")
        row = await store.read(self._database, provider)
        check = None if row is None else self._check_of(row)
        if check is None:
            return False
        answer = await check.check(ref=name, code=code)
        if answer == "unknown":
            raise Overloaded("The provider did not answer; ask again shortly.", RETRY_AFTER_S)
        return answer == "approved"

    async def cancel(self, ref: str) -> None:
        """As far as the provider can."""
        provider, _, name = ref.partition(":")
        row = await store.read(self._database, provider)
        check = None if row is None else self._check_of(row)
        if check is not None:
            await check.cancel(ref=name)

    def _check_of(self, row: store.ProviderRow) -> PhoneCheck | None:
        try:
            made = self._fleet.of(row)
        except Unusable:
            return None
        return next((one for one in made.checks if one.method == self._method), None)
