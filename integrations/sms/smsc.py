"""SMSC.ru (smsc.ru/api/http). Answers are HTTP 200 whatever happened.

We choose the id of a message, so that one whose answer got lost can be asked about. Its callback
is signed only if a secret is set for it, and then only id, phone and status are: an SMS from a
telephone that comes the same way is looked up (get.php) before it counts.
"""

from __future__ import annotations

import hmac
from collections.abc import Sequence
from hashlib import md5, sha1
from typing import Any, Final

import msgspec

from billing.messages.model import Status
from billing.messages.statuses import Said
from integrations.sms.forms import decimal_of, digits, form_of, need, price_of, whole_of
from integrations.sms.protocol import (
    Accepted,
    Ack,
    Balance,
    CannotAsk,
    Inbox,
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

STATUSES: Final[dict[str, Status]] = {
    "-1": "accepted", "0": "sent", "1": "delivered", "2": "delivered", "4": "delivered",
    "3": "expired", "-2": "failed", "20": "failed", "22": "failed", "23": "failed",
    "24": "failed", "25": "failed",
}  # fmt: skip
NOT_FOUND: Final = "-3"
_SCOPES: Final[dict[int, Scope]] = {7: "message", 8: "route", 6: "route", 9: "busy"}
"""Errors 1 to 5 are of the account: parameters, login, money, address, date."""


class SmscSettings(msgspec.Struct, forbid_unknown_fields=True, kw_only=True):
    """`sender` is a name agreed with SMSC."""

    endpoint: Word = "https://smsc.ru"
    sender: Word | None = None


class SmscSecrets(msgspec.Struct, forbid_unknown_fields=True, kw_only=True):
    """`api_key`, or `login` and `password`. `callback_secret` is what callbacks are signed with,
    as set in SMSC's own settings; without it each report is confirmed by a question."""

    api_key: Word | None = None
    login: Word | None = None
    password: Word | None = None
    callback_secret: Word | None = None

    def __post_init__(self) -> None:
        if self.api_key is None and (self.login is None or self.password is None):
            raise ValueError("needs api_key, or login and password")


class Smsc:
    def __init__(self, settings: SmscSettings, secrets: SmscSecrets, wire: Wire) -> None:
        self._settings = settings
        self._secrets = secrets
        self._wire = wire

    def reference(self, number: int) -> str | None:
        return str(number)

    async def send(self, message: Outbound) -> Outcome:
        fields = {
            "phones": digits(message.phone),
            "mes": message.text,
            "id": str(message.number),
            "charset": "utf-8",
            "cost": "3",
            "valid": _hours(message.ttl_s),
        }
        if self._settings.sender:
            fields["sender"] = self._settings.sender
        try:
            said = await self._ask("send", fields)
        except NotSent as error:
            return Refused(detail=str(error))
        except Doubtful as error:
            return Unknown(detail=str(error))
        if "error_code" in said:
            return _rejected(said)
        if str(said.get("id")) != str(message.number):
            return Unknown(detail="an answer of another message")
        return Accepted(
            said=Said(
                provider_message_id=str(message.number),
                status="accepted",
                segments=whole_of(said.get("cnt")),
                price=price_of(said.get("cost")),
                currency="RUB",
            )
        )

    async def fetch_status(self, sent: Sent) -> StatusAnswer:
        if not sent.phone:
            return NotTold("SMSC is asked by phone, which was dropped")
        number = sent.provider_message_id or str(sent.number)
        try:
            said = await self._ask("status", {"phone": digits(sent.phone), "id": number})
        except (NotSent, Doubtful) as error:
            return NotTold(str(error))
        if "error_code" in said:
            return NotTold(f"error {said['error_code']}: {said.get('error')}")
        code = str(said.get("status"))
        if code == NOT_FOUND:
            return Missing()
        status = STATUSES.get(code)
        if status is None:
            return NotTold(f"status {code}")
        return _said(number, status, code, said.get("err"))

    def verify(self, raw: RawRequest) -> Trust:
        if self._secrets.callback_secret is None:
            return "unsigned"
        fields = dict(form_of(raw))
        if "mes" in fields:
            return "unsigned"
        names = [fields.get(one, "") for one in ("id", "phone", "status")]
        signed = ":".join([*names, self._secrets.callback_secret]).encode()
        for name, algorithm in (("sha1", sha1), ("md5", md5)):
            if given := fields.get(name):
                right = algorithm(signed, usedforsecurity=False).hexdigest()
                same = hmac.compare_digest(right.encode(), given.lower().encode())
                return "signed" if same else "forged"
        return "forged"

    def parse_reports(self, raw: RawRequest) -> Sequence[Said]:
        fields = dict(form_of(raw))
        if "mes" in fields:
            return []
        code = need(fields, "status", 4)
        status = STATUSES.get(code)
        if status is None:
            return []
        return [_said(need(fields, "id", 20), status, code, fields.get("err"))]

    def parse_inbound(self, raw: RawRequest) -> Sequence[Inbox]:
        fields = dict(form_of(raw))
        if "mes" not in fields:
            return []
        return [
            Inbox(
                provider_message_id=need(fields, "sms_id", 40),
                phone=need(fields, "phone", 40),
                text=fields["mes"],
            )
        ]

    async def confirm_inbound(self, inbound: Inbox) -> Inbox | None:
        try:
            said = await self._ask("get", {"get_answers": "1", "hour": "24"})
        except (NotSent, Doubtful) as error:
            raise CannotAsk(str(error)) from None
        listed = said.get("list")
        if not isinstance(listed, list):
            raise CannotAsk(f"error {said.get('error_code')}: {said.get('error')}")
        for one in listed:
            if isinstance(one, dict) and str(one.get("id")) == inbound.provider_message_id:
                return Inbox(
                    provider_message_id=inbound.provider_message_id,
                    phone=str(one.get("phone", "")),
                    text=str(one.get("message", "")),
                )
        raise CannotAsk("SMSC knows of no such SMS yet")

    def acknowledge(self, raw: RawRequest) -> Ack:
        return Ack(body=b"OK")

    async def balance(self) -> Balance:
        try:
            said = await self._ask("balance", {"cur": "1"})
        except (NotSent, Doubtful) as error:
            raise CannotAsk(str(error)) from None
        amount = decimal_of(said.get("balance"))
        if amount is None:
            raise CannotAsk(f"error {said.get('error_code')}: {said.get('error')}")
        return Balance(amount=amount, currency=str(said.get("currency") or "RUB")[:3])

    async def close(self) -> None:
        await self._wire.close()

    async def _ask(self, what: str, fields: dict[str, str]) -> dict[str, Any]:
        """Raises NotSent, Doubtful: also for what is no answer of SMSC's."""
        secrets = self._secrets
        login = (
            {"apikey": secrets.api_key}
            if secrets.api_key is not None
            else {"login": secrets.login or "", "psw": secrets.password or ""}
        )
        url = f"{self._settings.endpoint}/sys/{what}.php"
        answer = await self._wire.call("POST", url, form={**fields, **login, "fmt": "3"})
        said = answer.json()
        if isinstance(said, list):
            return {"list": said}
        if answer.status != 200 or not isinstance(said, dict):
            raise Doubtful(f"HTTP {answer.status}: {answer.beginning()}")
        return said


def _said(number: str, status: Status, code: str, err: object) -> Said:
    failed = status in ("failed", "expired")
    return Said(
        provider_message_id=number,
        status=status,
        error=f"status {code}, err {err}" if failed else None,
    )


def _rejected(said: dict[str, Any]) -> Rejected:
    number = said["error_code"]
    code = number if isinstance(number, int) else 0
    return Rejected(
        code=str(number)[:20],
        detail=str(said.get("error", ""))[:200],
        scope=_SCOPES.get(code, "provider"),
    )


def _hours(ttl_s: int) -> str:
    """How long SMSC tries, `hours:minutes`: one minute at least, a day at most."""
    minutes = min(max(ttl_s // 60, 1), 24 * 60)
    return f"{minutes // 60:02d}:{minutes % 60:02d}"
