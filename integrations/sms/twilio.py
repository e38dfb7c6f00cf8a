"""Twilio Messages (2010-04-01). Webhooks are signed over their URL and fields, so the service must
know its public address (BONUS_PUBLIC_URL).

There is no key of ours on a message: one whose answer got lost is looked for by phone and text.
"""

from __future__ import annotations

import base64
import hmac
from collections.abc import Iterable, Iterator, Sequence
from datetime import datetime, timedelta
from email.utils import parsedate_to_datetime
from hashlib import sha1, sha256
from typing import Any, Final
from urllib.parse import parse_qsl, urlsplit, urlunsplit

import msgspec

from billing.messages.model import Status
from billing.messages.statuses import Said
from integrations.sms.forms import decimal_of, form_of, need, price_of, whole_of
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
from integrations.sms.wire import Answer, Doubtful, NotSent, Wire

STATUSES: Final[dict[str, Status]] = {
    "accepted": "accepted", "scheduled": "accepted", "queued": "accepted", "sending": "accepted",
    "sent": "sent", "delivered": "delivered", "read": "delivered",
    "partially_delivered": "delivered",
    "undelivered": "failed", "failed": "failed", "canceled": "failed",
}  # fmt: skip
_SCOPES: Final[dict[int, Scope]] = {
    21211: "message", 21614: "message", 21610: "message", 21617: "message",
    20003: "provider", 21608: "provider", 21606: "provider", 21603: "provider",
    20429: "busy", 14107: "busy",
}  # fmt: skip
_SLACK: Final = timedelta(minutes=2)
_TTL_S: Final = (60, 36_000)
EMPTY: Final = b'<?xml version="1.0" encoding="UTF-8"?><Response></Response>'


class TwilioSettings(msgspec.Struct, forbid_unknown_fields=True, kw_only=True):
    """Messages come from `sender` (a number or name) or a `messaging_service_sid`.
    `verify_service_sid` is a service of Twilio Verify, for codes that Twilio makes."""

    account_sid: Word
    sender: Word | None = None
    messaging_service_sid: Word | None = None
    verify_service_sid: Word | None = None
    endpoint: Word = "https://api.twilio.com"
    verify_endpoint: Word = "https://verify.twilio.com"

    def __post_init__(self) -> None:
        if (self.sender is None) == (self.messaging_service_sid is None):
            raise ValueError("needs one of sender, messaging_service_sid")


class TwilioSecrets(msgspec.Struct, forbid_unknown_fields=True, kw_only=True):
    """`auth_token` signs webhooks; an API key, when given, is used for all else."""

    auth_token: Word
    api_key_sid: Word | None = None
    api_key_secret: Word | None = None


def basic_of(settings: TwilioSettings, secrets: TwilioSecrets) -> tuple[str, str]:
    if secrets.api_key_sid and secrets.api_key_secret:
        return secrets.api_key_sid, secrets.api_key_secret
    return settings.account_sid, secrets.auth_token


class Twilio:
    def __init__(self, settings: TwilioSettings, secrets: TwilioSecrets, wire: Wire) -> None:
        self._settings = settings
        self._token = secrets.auth_token
        self._basic = basic_of(settings, secrets)
        self._wire = wire

    def reference(self, number: int) -> str | None:
        return None

    async def send(self, message: Outbound) -> Outcome:
        fields = {"To": message.phone, "Body": message.text}
        fields["ValidityPeriod"] = str(min(max(message.ttl_s, _TTL_S[0]), _TTL_S[1]))
        if self._settings.messaging_service_sid is not None:
            fields["MessagingServiceSid"] = self._settings.messaging_service_sid
        else:
            fields["From"] = self._settings.sender or ""
        if message.callback:
            fields["StatusCallback"] = message.callback
        try:
            answer = await self._call("POST", "Messages.json", form=fields)
            if answer.status >= 500:
                return Unknown(detail=f"HTTP {answer.status}: {answer.beginning()}")
            said = answer.json()
        except NotSent as error:
            return Refused(detail=str(error))
        except Doubtful as error:
            return Unknown(detail=str(error))
        if answer.status >= 300 or not isinstance(said, dict):
            return rejected(answer, said)
        if not said.get("sid"):
            return Unknown(detail=f"no sid: {answer.beginning()}")
        return Accepted(said=_said(said))

    async def fetch_status(self, sent: Sent) -> StatusAnswer:
        try:
            if sent.provider_message_id is not None:
                return await self._by_sid(sent.provider_message_id)
            return await self._by_text(sent)
        except (NotSent, Doubtful) as error:
            return NotTold(str(error))

    def verify(self, raw: RawRequest) -> Trust:
        given = raw.headers.get("x-twilio-signature", "")
        is_form = "json" not in raw.headers.get("content-type", "")
        pairs = form_of(raw) if is_form else []
        right = any(_same(sign(self._token, url, pairs), given) for url in _urls(raw.url))
        if not right or not (is_form or _body_is_signed(raw)):
            return "forged"
        return "signed"

    def parse_reports(self, raw: RawRequest) -> Sequence[Said]:
        fields = dict(form_of(raw))
        name = fields.get("MessageStatus") or fields.get("SmsStatus") or ""
        status = STATUSES.get(name)
        if status is None:
            return []
        return [
            _said(
                {
                    "sid": need(fields, "MessageSid", 40),
                    "status": name,
                    "error_code": fields.get("ErrorCode") or None,
                }
            )
        ]

    def parse_inbound(self, raw: RawRequest) -> Sequence[Inbox]:
        fields = dict(form_of(raw))
        if "Body" not in fields or fields.get("SmsStatus", "received") != "received":
            return []
        return [
            Inbox(
                provider_message_id=need(fields, "MessageSid", 40),
                phone=need(fields, "From", 40),
                text=fields["Body"],
            )
        ]

    async def confirm_inbound(self, inbound: Inbox) -> Inbox | None:
        return None

    def acknowledge(self, raw: RawRequest) -> Ack:
        return Ack(body=EMPTY, media_type=b"text/xml; charset=utf-8")

    async def balance(self) -> Balance:
        try:
            answer = await self._call("GET", "Balance.json")
            said = answer.json()
        except (NotSent, Doubtful) as error:
            raise CannotAsk(str(error)) from None
        amount = decimal_of(said.get("balance")) if isinstance(said, dict) else None
        if answer.status != 200 or amount is None:
            raise CannotAsk(f"HTTP {answer.status}: {answer.beginning()}")
        return Balance(amount=amount, currency=said.get("currency"))

    async def close(self) -> None:
        await self._wire.close()

    async def _call(self, method: str, path: str, **more: Any) -> Answer:
        account = self._settings.account_sid
        url = f"{self._settings.endpoint}/2010-04-01/Accounts/{account}/{path}"
        return await self._wire.call(method, url, basic=self._basic, **more)

    async def _by_sid(self, sid: str) -> StatusAnswer:
        answer = await self._call("GET", f"Messages/{sid}.json")
        if answer.status == 404:
            return Missing()
        return _told(answer, answer.json())

    async def _by_text(self, sent: Sent) -> StatusAnswer:
        if not sent.text:
            return NotTold("a message without an id is found by its text, which was dropped")
        # Not by DateSent: one that still waits to be sent has none. The newest come first.
        query = {"To": sent.phone, "PageSize": "100"}
        answer = await self._call("GET", "Messages.json", query=query)
        said = answer.json()
        if answer.status != 200 or not isinstance(said, dict):
            return NotTold(f"HTTP {answer.status}: {answer.beginning()}")
        for one in said.get("messages", ()):
            if one.get("body") == sent.text and _since(one.get("date_created"), sent.at):
                return _told(answer, one)
        return Missing()


def sign(token: str, url: str, pairs: Iterable[tuple[str, str]]) -> str:
    """X-Twilio-Signature: HMAC-SHA1 over the URL, then every field's name and value by name."""
    # A name that comes twice is signed once for each different value.
    signed = url + "".join(name + value for name, value in sorted(set(pairs)))
    made = hmac.new(token.encode(), signed.encode(), sha1).digest()
    return base64.b64encode(made).decode()


def rejected(answer: Answer, said: Any) -> Rejected:
    """What an error of Twilio's means, by its code, else by its HTTP status."""
    code = said.get("code") if isinstance(said, dict) else None
    scope: Scope = "route"
    if answer.status in (401, 403) or 300 <= answer.status < 400:
        scope = "provider"
    elif answer.status == 429:
        scope = "busy"
    if isinstance(code, int):
        scope = _SCOPES.get(code, scope)
    detail = said.get("message") if isinstance(said, dict) else answer.beginning()
    return Rejected(code=str(code or answer.status), detail=str(detail)[:200], scope=scope)


def _told(answer: Answer, said: Any) -> StatusAnswer:
    if answer.status != 200 or not isinstance(said, dict) or said.get("status") not in STATUSES:
        return NotTold(f"HTTP {answer.status}: {answer.beginning()}")
    return _said(said)


def _said(one: dict[str, Any]) -> Said:
    price = price_of(one.get("price"))
    error = one.get("error_code")
    return Said(
        provider_message_id=str(one["sid"])[:40],
        status=STATUSES.get(str(one.get("status")), "accepted"),
        segments=whole_of(one.get("num_segments")),
        price=price,
        currency=one.get("price_unit") if price is not None else None,
        error=None if error is None else f"error {error}"[:100],
    )


def _since(date: object, at: datetime) -> bool:
    try:
        return parsedate_to_datetime(str(date)) > at - _SLACK
    except ValueError:
        return True


def _same(right: str, given: str) -> bool:
    return hmac.compare_digest(right.encode(), given.encode())


def _urls(url: str) -> Iterator[str]:
    """As configured, with the port and without: Twilio signs what it was told, mostly."""
    yield url
    parts = urlsplit(url)
    default = 443 if parts.scheme == "https" else 80
    if parts.port is None:
        yield urlunsplit(parts._replace(netloc=f"{parts.netloc}:{default}"))
    else:
        yield urlunsplit(parts._replace(netloc=parts.netloc.removesuffix(f":{parts.port}")))


def _body_is_signed(raw: RawRequest) -> bool:
    given = dict(parse_qsl(urlsplit(raw.url).query)).get("bodySHA256", "")
    return _same(sha256(raw.body).hexdigest(), given)
