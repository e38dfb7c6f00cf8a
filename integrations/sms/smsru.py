"""SMS.ru (sms.ru/api). Answers are HTTP 200 whatever happened, and there are two codes in each: of
the request, and of the phone.

Messages have no id of ours: one whose answer got lost cannot be asked about. Reports are signed
with the API id. They must be answered `100`, or they come again for five days.
"""

from __future__ import annotations

import hmac
from collections.abc import Sequence
from hashlib import sha256
from typing import Any, Final

import msgspec

from billing.messages.model import Status
from billing.messages.statuses import Said
from integrations.sms.forms import decimal_of, digits, form_of, price_of
from integrations.sms.protocol import (
    Accepted,
    Ack,
    Balance,
    CannotAsk,
    Inbox,
    Malformed,
    Missing,
    NotTold,
    Outbound,
    Outcome,
    RawRequest,
    Refused,
    Rejected,
    Scope,
    Sent,
    StatusAnswer,
    Trust,
    Unknown,
    Word,
)
from integrations.sms.wire import Doubtful, NotSent, Wire

STATUSES: Final[dict[int, Status]] = {
    100: "accepted", 101: "sent", 102: "sent", 103: "delivered", 110: "delivered",
    104: "expired", 105: "failed", 106: "failed", 107: "failed", 108: "failed", 150: "failed",
}  # fmt: skip
NOT_FOUND: Final = -1
_MESSAGE: Final = frozenset((202, 203, 205))
_ROUTE: Final = frozenset((207, 208, 209, *range(230, 240)))
_BUSY: Final = frozenset((220,))


class SmsruSettings(msgspec.Struct, forbid_unknown_fields=True, kw_only=True):
    """`sender` is a name agreed with SMS.ru."""

    endpoint: Word = "https://sms.ru"
    sender: Word | None = None


class SmsruSecrets(msgspec.Struct, forbid_unknown_fields=True, kw_only=True):
    api_id: Word


class Smsru:
    def __init__(self, settings: SmsruSettings, secrets: SmsruSecrets, wire: Wire) -> None:
        self._settings = settings
        self._api_id = secrets.api_id
        self._wire = wire

    def reference(self, number: int) -> str | None:
        return None

    async def send(self, message: Outbound) -> Outcome:
        fields = {
            "to": digits(message.phone),
            "msg": message.text,
            "ttl": str(min(max(message.ttl_s // 60, 1), 1440)),
        }
        if self._settings.sender:
            fields["from"] = self._settings.sender
        try:
            said = await self.ask("sms/send", fields)
        except NotSent as error:
            return Refused(detail=str(error))
        except Doubtful as error:
            return Unknown(detail=str(error))
        if said["status_code"] != 100:
            return rejected(said)
        one = (said.get("sms") or {}).get(fields["to"])
        if not isinstance(one, dict) or not isinstance(one.get("status_code"), int):
            return Unknown(detail="an answer without the phone")
        if STATUSES.get(one["status_code"]) in (None, "failed"):
            return rejected(one)
        if not one.get("sms_id"):
            return Unknown(detail="an answer without an id")
        cost = price_of(one.get("cost"))
        return Accepted(
            said=Said(
                provider_message_id=str(one["sms_id"]),
                status="accepted",
                price=cost,
                currency=None if cost is None else "RUB",
            )
        )

    async def fetch_status(self, sent: Sent) -> StatusAnswer:
        number = sent.provider_message_id
        if number is None:
            return NotTold("SMS.ru tells by its own id alone, which never came")
        try:
            said = await self.ask("sms/status", {"sms_id": number})
        except (NotSent, Doubtful) as error:
            return NotTold(str(error))
        one = (said.get("sms") or {}).get(number)
        code = one.get("status_code") if isinstance(one, dict) else said["status_code"]
        if code == NOT_FOUND:
            return Missing()
        if not isinstance(code, int) or code not in STATUSES:
            return NotTold(f"code {code}")
        return _said(number, STATUSES[code], code)

    def verify(self, raw: RawRequest) -> Trust:
        pairs = form_of(raw)
        given = dict(pairs).get("hash", "")
        signed = self._api_id + "".join(entry for _, entry in _entries(pairs))
        right = sha256(signed.encode()).hexdigest()
        return "signed" if hmac.compare_digest(right.encode(), given.encode()) else "forged"

    def parse_reports(self, raw: RawRequest) -> Sequence[Said]:
        found = []
        for _, entry in _entries(form_of(raw)):
            kind, *parts = entry.splitlines()
            if kind != "sms_status":
                continue
            if len(parts) < 2 or not parts[1].strip().lstrip("-").isdigit() or len(parts[1]) > 9:
                raise Malformed("an entry without id and code")
            code = int(parts[1])
            status = STATUSES.get(code)
            if status is not None:
                found.append(_said(parts[0].strip()[:60], status, code))
        return found

    def parse_inbound(self, raw: RawRequest) -> Sequence[Inbox]:
        return []

    async def confirm_inbound(self, inbound: Inbox) -> Inbox | None:
        return None

    def acknowledge(self, raw: RawRequest) -> Ack:
        return Ack(body=b"100")

    async def balance(self) -> Balance:
        try:
            said = await self.ask("my/balance", {})
        except (NotSent, Doubtful) as error:
            raise CannotAsk(str(error)) from None
        amount = decimal_of(said.get("balance"))
        if amount is None:
            raise CannotAsk(f"code {said['status_code']}: {said.get('status_text')}")
        return Balance(amount=amount, currency="RUB")

    async def close(self) -> None:
        await self._wire.close()

    async def ask(self, what: str, fields: dict[str, str]) -> dict[str, Any]:
        """Raises NotSent, Doubtful: also for what is no answer of SMS.ru's."""
        url = f"{self._settings.endpoint}/{what}"
        form = {**fields, "api_id": self._api_id, "json": "1"}
        answer = await self._wire.call("POST", url, form=form)
        said = answer.json()
        if answer.status != 200 or not isinstance(said, dict):
            raise Doubtful(f"HTTP {answer.status}: {answer.beginning()}")
        if not isinstance(said.get("status_code"), int):
            raise Doubtful(f"no status_code: {answer.beginning()}")
        return said


def _entries(pairs: Sequence[tuple[str, str]]) -> list[tuple[str, str]]:
    """data[0] … data[99], as they came."""
    return [pair for pair in pairs if pair[0].startswith("data[") and pair[0].endswith("]")]


def _said(number: str, status: Status, code: int) -> Said:
    failed = status in ("failed", "expired")
    return Said(provider_message_id=number, status=status, error=f"code {code}" if failed else None)


def rejected(said: dict[str, Any]) -> Rejected:
    """What a code other than 100 means."""
    code = said["status_code"]
    scope: Scope = "provider"
    if code in _MESSAGE:
        scope = "message"
    elif code in _ROUTE or code in STATUSES:
        scope = "route"
    elif code in _BUSY:
        scope = "busy"
    return Rejected(code=str(code), detail=str(said.get("status_text", ""))[:200], scope=scope)
