"""Checking a phone without a code of ours: the provider makes the code, or calls, or is called.

Verifications use it; integrations implement it (Twilio Verify, SMS.ru).
"""

from __future__ import annotations

from typing import ClassVar, Literal, Protocol

import msgspec

from billing.programs.words import Language

Method = Literal["provider", "flash_call", "call_check"]
"""`provider` sends and compares a code of its own. `flash_call`: the last digits of the number
that calls are the code, which we are told. `call_check`: the customer calls a number."""

Checked = Literal["approved", "wrong", "over", "unknown"]
"""`over`: expired, cancelled, or tried too often. `unknown`: the provider did not say."""


class CheckStarted(msgspec.Struct, frozen=True, kw_only=True):
    """Under way, as `ref`. `code` is what the customer will tell, if we compare it;
    `call_phone` the number to call."""

    ref: str
    code: str | None = None
    call_phone: str | None = None


class CheckRefused(msgspec.Struct, frozen=True, kw_only=True):
    """Certainly not under way."""

    code: str
    detail: str


class CheckUnknown(msgspec.Struct, frozen=True, kw_only=True):
    """It may be under way: another one would be a second message or call."""

    detail: str


class PhoneCheck(Protocol):
    method: ClassVar[Method]

    async def start(
        self, *, phone: str, language: Language
    ) -> CheckStarted | CheckRefused | CheckUnknown: ...

    async def check(self, *, ref: str, code: str) -> Checked:
        """Whether it is confirmed; `code` is empty for `call_check`."""

    async def cancel(self, *, ref: str) -> None:
        """As far as the provider can. Never fails."""
