"""Twilio Verify v2: Twilio makes the code, sends it and compares it; we keep its sid alone."""

from __future__ import annotations

from contextlib import suppress
from typing import Any, ClassVar, Final

from billing.messages.checks import (
    Checked,
    CheckRefused,
    CheckStarted,
    CheckUnknown,
    Method,
)
from billing.programs.words import Language
from integrations.sms.twilio import TwilioSecrets, TwilioSettings, basic_of, rejected
from integrations.sms.wire import Answer, Doubtful, NotSent, Wire

_STATES: Final[dict[str, Checked]] = {
    "approved": "approved", "pending": "wrong", "canceled": "over", "expired": "over",
    "max_attempts_reached": "over", "deleted": "over", "failed": "over",
}  # fmt: skip
TOO_MANY_CHECKS: Final = 60202


class TwilioVerify:
    method: ClassVar[Method] = "provider"

    def __init__(self, settings: TwilioSettings, secrets: TwilioSecrets, wire: Wire) -> None:
        self._settings = settings
        self._basic = basic_of(settings, secrets)
        self._wire = wire

    async def start(
        self, *, phone: str, language: Language
    ) -> CheckStarted | CheckRefused | CheckUnknown:
        form = {"To": phone, "Channel": "sms", "Locale": language}
        try:
            answer = await self._call("Verifications", form)
            if answer.status >= 500:
                return CheckUnknown(detail=f"HTTP {answer.status}: {answer.beginning()}")
            said = answer.json()
        except NotSent as error:
            return CheckRefused(code="unreachable", detail=str(error))
        except Doubtful as error:
            return CheckUnknown(detail=str(error))
        if answer.status >= 300 or not isinstance(said, dict) or not said.get("sid"):
            refusal = rejected(answer, said)
            return CheckRefused(code=refusal.code, detail=refusal.detail)
        return CheckStarted(ref=str(said["sid"]))

    async def check(self, *, ref: str, code: str) -> Checked:
        """A check of Twilio's counts as an attempt there: five are allowed."""
        form = {"VerificationSid": ref, "Code": code}
        try:
            answer = await self._call("VerificationCheck", form)
            said: Any = answer.json()
        except (NotSent, Doubtful):
            return "unknown"
        if answer.status == 404 or (isinstance(said, dict) and said.get("code") == TOO_MANY_CHECKS):
            # Twilio deletes what is approved, expired or tried too often.
            return "over"
        if answer.status >= 300 or not isinstance(said, dict):
            return "unknown"
        return _STATES.get(str(said.get("status")), "unknown")

    async def cancel(self, *, ref: str) -> None:
        with suppress(NotSent, Doubtful):
            await self._call(f"Verifications/{ref}", {"Status": "canceled"})

    async def _call(self, path: str, form: dict[str, str]) -> Answer:
        service = self._settings.verify_service_sid
        url = f"{self._settings.verify_endpoint}/v2/Services/{service}/{path}"
        return await self._wire.call("POST", url, form=form, basic=self._basic)
