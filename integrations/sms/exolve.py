"""MTS Exolve (docs.exolve.ru, SMS API). JSON, and a key of the application.

Neither a signature of webhooks nor their fields are documented: a webhook is taken as a hint that
names a message, and what counts is what GetList then says.
"""

from __future__ import annotations

from collections.abc import Sequence
from datetime import UTC, datetime, timedelta
from typing import Any, Final

import msgspec

from billing.messages.model import Status
from billing.messages.statuses import Said
from integrations.sms.forms import digits, json_of, whole_of
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
from integrations.sms.wire import Answer, Doubtful, NotSent, Wire

STATUSES: Final[dict[str, Status]] = {
    "queued": "accepted", "accepted": "accepted", "sending": "accepted", "pending": "accepted",
    "sent": "sent", "transmitted": "sent",
    "delivered": "delivered", "read": "delivered", "seen": "delivered",
    "expired": "expired",
    "undelivered": "failed", "not_delivered": "failed", "failed": "failed", "rejected": "failed",
    "undeliverable": "failed", "error": "failed", "deleted": "failed",
}  # fmt: skip
_PREFIXES: Final = ("sms_", "message_", "delivery_", "status_")
_LISTED: Final = 100
_SLACK: Final = timedelta(minutes=5)
_SCOPES: Final[dict[int, Scope]] = {400: "route", 404: "provider", 422: "route", 429: "busy"}


class ExolveSettings(msgspec.Struct, forbid_unknown_fields=True, kw_only=True):
    """`sender` is the number or name messages come from."""

    endpoint: Word = "https://api.exolve.ru"
    sender: Word


class ExolveSecrets(msgspec.Struct, forbid_unknown_fields=True, kw_only=True):
    api_key: Word


class Exolve:
    def __init__(self, settings: ExolveSettings, secrets: ExolveSecrets, wire: Wire) -> None:
        self._settings = settings
        self._key = secrets.api_key
        self._wire = wire

    def reference(self, number: int) -> str | None:
        return None

    async def send(self, message: Outbound) -> Outcome:
        body = {
            "number": self._settings.sender,
            "destination": digits(message.phone),
            "text": message.text,
        }
        try:
            answer = await self._post("SendSMS", body)
            if answer.status in _SCOPES or answer.status in (401, 402, 403):
                return _rejected(answer)
            if not 200 <= answer.status < 300:
                return Unknown(detail=f"HTTP {answer.status}: {answer.beginning()}")
            said = answer.json()
        except NotSent as error:
            return Refused(detail=str(error))
        except Doubtful as error:
            return Unknown(detail=str(error))
        number = said.get("message_id") if isinstance(said, dict) else None
        if number:
            return Accepted(said=Said(provider_message_id=str(number), status="accepted"))
        if isinstance(said, dict) and (said.get("error") or said.get("code")):
            return _rejected(answer)
        return Unknown(detail=f"no message_id: {answer.beginning()}")

    async def fetch_status(self, sent: Sent) -> StatusAnswer:
        try:
            if sent.provider_message_id is not None:
                listed = await self._list({"message_id": _number(sent.provider_message_id)})
                found = _by_id(listed, sent.provider_message_id)
            elif not sent.text:
                return NotTold("a message without an id is found by its text, which was dropped")
            else:
                listed = await self._list({"number": digits(sent.phone), "limit": _LISTED})
                found = _by_text(listed, sent)
        except (NotSent, Doubtful, Malformed) as error:
            return NotTold(str(error))
        if found is None and sent.provider_message_id is None:
            # What the list leaves out is not documented: nothing follows from its silence.
            return NotTold("not in the list of messages")
        if found is None:
            return Missing()
        status = _status(found)
        if status is None:
            return NotTold(f"delivery status {found.get('delivery_status')}")
        failed = status in ("failed", "expired")
        return Said(
            provider_message_id=str(found.get("message_id")),
            status=status,
            segments=whole_of(found.get("segments_count")),
            error=str(found.get("delivery_status"))[:100] if failed else None,
        )

    def verify(self, raw: RawRequest) -> Trust:
        return "unsigned"

    def parse_reports(self, raw: RawRequest) -> Sequence[Said]:
        said = _webhook(raw)
        if _is_incoming(said):
            return []
        return [Said(provider_message_id=_id(said), status=_status(said) or "accepted")]

    def parse_inbound(self, raw: RawRequest) -> Sequence[Inbox]:
        said = _webhook(raw)
        return [_inbox(said)] if _is_incoming(said) else []

    async def confirm_inbound(self, inbound: Inbox) -> Inbox | None:
        try:
            listed = await self._list({"message_id": _number(inbound.provider_message_id)})
        except (NotSent, Doubtful) as error:
            raise CannotAsk(str(error)) from None
        found = _by_id(listed, inbound.provider_message_id)
        if found is None or not _is_incoming(found):
            raise CannotAsk("Exolve knows of no such SMS yet")
        return _inbox(found)

    def acknowledge(self, raw: RawRequest) -> Ack:
        return Ack(body=b"{}", media_type=b"application/json")

    async def balance(self) -> Balance:
        raise CannotAsk("Exolve's API of messages does not tell the balance")

    async def close(self) -> None:
        await self._wire.close()

    async def _post(self, method: str, body: dict[str, Any]) -> Answer:
        url = f"{self._settings.endpoint}/messaging/v1/{method}"
        return await self._wire.call(
            "POST", url, json=body, headers={"Authorization": f"Bearer {self._key}"}
        )

    async def _list(self, body: dict[str, Any]) -> list[dict[str, Any]]:
        answer = await self._post("GetList", body)
        said = answer.json()
        if answer.status != 200 or not isinstance(said, dict):
            raise Doubtful(f"HTTP {answer.status}: {answer.beginning()}")
        if said.get("error"):
            raise Doubtful(f"error: {answer.beginning()}")
        listed = said.get("messages", [])
        return [one for one in listed if isinstance(one, dict)]


def _webhook(raw: RawRequest) -> dict[str, Any]:
    said = json_of(raw)
    if not isinstance(said, dict):
        raise Malformed("not an object")
    return said


def _id(said: dict[str, Any]) -> str:
    number = str(said.get("message_id") or "")
    if not (number.isascii() and number.isdigit() and len(number) <= 20):
        raise Malformed("message_id is missing, or no number")
    return number


def _number(text: str) -> int:
    if not (text.isascii() and text.isdigit() and len(text) <= 20):
        raise Malformed("message_id is no number")
    return int(text)


def _is_incoming(said: dict[str, Any]) -> bool:
    return str(said.get("direction", "")).lower().removeprefix("direction_").startswith("in")


def _inbox(said: dict[str, Any]) -> Inbox:
    return Inbox(
        provider_message_id=_id(said),
        phone=str(said.get("sender") or said.get("number") or "")[:40],
        text=str(said.get("text") or said.get("message_text") or "")[:2000],
    )


def _status(said: dict[str, Any]) -> Status | None:
    """`SMS_DELIVERY_STATUS_DELIVERED` and its like by the last word."""
    name = str(said.get("delivery_status") or said.get("status") or "").lower()
    shorter = True
    while shorter:
        shorter = False
        for prefix in _PREFIXES:
            if name.startswith(prefix):
                name, shorter = name.removeprefix(prefix), True
    return STATUSES.get(name)


def _by_id(listed: list[dict[str, Any]], number: str) -> dict[str, Any] | None:
    return next((one for one in listed if str(one.get("message_id")) == number), None)


def _by_text(listed: list[dict[str, Any]], sent: Sent) -> dict[str, Any] | None:
    """The one of this text to this phone, written since the attempt began."""
    phone = digits(sent.phone)
    for one in listed:
        to = str(one.get("receiver") or one.get("destination") or "")
        if to == phone and one.get("text") == sent.text and _since(one, sent.at):
            return one
    return None


def _since(said: dict[str, Any], at: datetime) -> bool:
    try:
        moment = datetime.fromisoformat(str(said.get("date")))
    except ValueError:
        return True
    moment = moment if moment.tzinfo else moment.replace(tzinfo=UTC)
    return moment > at - _SLACK


def _rejected(answer: Answer) -> Rejected:
    return Rejected(
        code=str(answer.status),
        detail=answer.beginning(),
        scope=_SCOPES.get(answer.status, "provider"),
    )
