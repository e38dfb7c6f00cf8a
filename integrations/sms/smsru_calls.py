"""SMS.ru by telephone: a flash call, whose last four digits are the code, and the call check, for
which the customer calls a number free of charge."""

from __future__ import annotations

from typing import ClassVar, Final

from billing.messages.checks import (
    Checked,
    CheckRefused,
    CheckStarted,
    CheckUnknown,
    Method,
)
from billing.programs.words import Language
from integrations.sms.forms import digits
from integrations.sms.smsru import Smsru, rejected
from integrations.sms.wire import Doubtful, NotSent

_CALLED: Final[dict[object, Checked]] = {"400": "wrong", "401": "approved", "402": "over"}


class FlashCall:
    method: ClassVar[Method] = "flash_call"

    def __init__(self, smsru: Smsru) -> None:
        self._smsru = smsru

    async def start(
        self, *, phone: str, language: Language
    ) -> CheckStarted | CheckRefused | CheckUnknown:
        try:
            said = await self._smsru.ask("code/call", {"phone": digits(phone)})
        except NotSent as error:
            return CheckRefused(code="unreachable", detail=str(error))
        except Doubtful as error:
            return CheckUnknown(detail=str(error))
        code = str(said.get("code") or "")
        if said.get("status") != "OK" or not (code.isdigit() and len(code) == 4):
            refusal = rejected(said)
            return CheckRefused(code=refusal.code, detail=refusal.detail)
        return CheckStarted(ref=str(said.get("call_id", "")), code=code)

    async def check(self, *, ref: str, code: str) -> Checked:
        """SMS.ru compares nothing: whoever keeps the code does."""
        return "unknown"

    async def cancel(self, *, ref: str) -> None:
        return None


class CallCheck:
    method: ClassVar[Method] = "call_check"

    def __init__(self, smsru: Smsru) -> None:
        self._smsru = smsru

    async def start(
        self, *, phone: str, language: Language
    ) -> CheckStarted | CheckRefused | CheckUnknown:
        try:
            said = await self._smsru.ask("callcheck/add", {"phone": digits(phone)})
        except NotSent as error:
            return CheckRefused(code="unreachable", detail=str(error))
        except Doubtful as error:
            return CheckUnknown(detail=str(error))
        if said["status_code"] != 100 or not said.get("check_id"):
            refusal = rejected(said)
            return CheckRefused(code=refusal.code, detail=refusal.detail)
        return CheckStarted(ref=str(said["check_id"]), call_phone=str(said["call_phone"]))

    async def check(self, *, ref: str, code: str) -> Checked:
        try:
            said = await self._smsru.ask("callcheck/status", {"check_id": ref})
        except (NotSent, Doubtful):
            return "unknown"
        return _CALLED.get(str(said.get("check_status")), "unknown")

    async def cancel(self, *, ref: str) -> None:
        return None
