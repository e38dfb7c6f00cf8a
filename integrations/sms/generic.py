"""Any provider with HTTP, by templates: what to send, where in the answer to look, what its
statuses mean, and how it signs.

A template is text with `{phone}`, `{digits}`, `{text}`, `{number}`, `{sender}`, `{ttl_s}`,
`{callback}`, `{id}` and `{secret.NAME}`; it stands for a part of the address, or a value of a
form, a query, a header or a string of JSON, where it is encoded, so that no text can become
another field.
"""

from __future__ import annotations

import base64
import hmac
import re
from collections.abc import Callable, Mapping, Sequence
from functools import partial
from hashlib import sha256
from typing import Any, Final, Literal
from urllib.parse import quote

from billing.messages.model import Status
from billing.messages.statuses import Said
from integrations.sms.forms import decimal_of, digits, form_of, json_of, price_of, whole_of
from integrations.sms.generic_settings import (
    Answered,
    GenericSecrets,
    GenericSettings,
    Hook,
    Request,
)
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
    Sent,
    StatusAnswer,
    Trust,
    Unknown,
)
from integrations.sms.wire import Answer, Doubtful, NotSent, Wire

_in_address: Final = partial(quote, safe="")
"""As a value stands in an address, where a / or & of its own would make it another one."""
_PLACE: Final = re.compile(r"\{([a-z_]+(?:\.[A-Za-z0-9_]+)?)\}")
_BUSY: Final = frozenset((429,))
_ACCOUNT: Final = frozenset((401, 402, 403, 404))


class Generic:
    def __init__(self, settings: GenericSettings, secrets: GenericSecrets, wire: Wire) -> None:
        self._settings = settings
        self._secrets = secrets.named
        self._wire = wire

    def reference(self, number: int) -> str | None:
        return str(number) if self._settings.own_id else None

    async def send(self, message: Outbound) -> Outcome:
        values = {
            "phone": message.phone,
            "digits": digits(message.phone),
            "text": message.text,
            "number": str(message.number),
            "ttl_s": str(message.ttl_s),
            "callback": message.callback,
        }
        try:
            answer = await self._call(self._settings.send, values)
            if answer.status >= 500:
                return Unknown(detail=f"HTTP {answer.status}: {answer.beginning()}")
            if answer.status >= 300:
                return _rejected(answer)
            said = answer.json()
        except NotSent as error:
            return Refused(detail=str(error))
        except Doubtful as error:
            return Unknown(detail=str(error))
        where = self._settings.sent
        refusal = at(said, where.error)
        if refusal not in (None, "", 0, False):
            return Rejected(code=str(refusal)[:40], detail=answer.beginning(), scope="provider")
        found = self.reference(message.number) or _text(at(said, where.id))
        if not found:
            return Unknown(detail=f"no id: {answer.beginning()}")
        return Accepted(said=self._said(found, "accepted", said, where))

    async def fetch_status(self, sent: Sent) -> StatusAnswer:
        where, request = self._settings.fetched, self._settings.fetch
        if request is None or where is None or where.status is None:
            return NotTold("this provider cannot be asked")
        if sent.provider_message_id is None:
            return NotTold("this provider tells by its own id alone, which never came")
        values = {
            "id": sent.provider_message_id,
            "number": str(sent.number),
            "phone": sent.phone,
            "digits": digits(sent.phone),
        }
        try:
            answer = await self._call(request, values)
            if answer.status != 200:
                return NotTold(f"HTTP {answer.status}: {answer.beginning()}")
            said = answer.json()
        except (NotSent, Doubtful) as error:
            return NotTold(str(error))
        word = _text(at(said, where.status))
        if word is not None and word == self._settings.missing:
            return Missing()
        status = self._settings.statuses.get(word or "")
        if status is None:
            return NotTold(f"status {word}")
        return self._said(sent.provider_message_id, status, said, where)

    def verify(self, raw: RawRequest) -> Trust:
        how = self._settings.signature
        if how is None:
            return "unsigned"
        made = hmac.new(self._secrets[how.secret].encode(), raw.body, sha256).digest()
        text = made.hex() if how.encoding == "hex" else base64.b64encode(made).decode()
        given = raw.headers.get(how.header.lower(), "")
        same = hmac.compare_digest(f"{how.prefix}{text}".encode(), given.encode())
        return "signed" if same else "forged"

    def parse_reports(self, raw: RawRequest) -> Sequence[Said]:
        where = self._settings.report
        if where is None or where.status is None:
            return []
        said = _hook(raw)
        word = _text(at(said, where.status))
        if word is None:
            return []
        status = self._settings.statuses.get(word)
        return [] if status is None else [_report(_id(said, where), status, word)]

    def parse_inbound(self, raw: RawRequest) -> Sequence[Inbox]:
        where = self._settings.inbound
        if where is None or where.phone is None or where.text is None:
            return []
        said = _hook(raw)
        phone, text = _text(at(said, where.phone)), _text(at(said, where.text))
        if phone is None or text is None:
            return []
        return [Inbox(provider_message_id=_id(said, where), phone=phone[:40], text=text[:2000])]

    async def confirm_inbound(self, inbound: Inbox) -> Inbox | None:
        return None

    def acknowledge(self, raw: RawRequest) -> Ack:
        return Ack(body=self._settings.acknowledge.encode())

    async def balance(self) -> Balance:
        where, request = self._settings.balance, self._settings.account
        if request is None or where is None or where.amount is None:
            raise CannotAsk("no request for the balance is set for this provider")
        try:
            answer = await self._call(request, {})
            amount = decimal_of(at(answer.json(), where.amount))
        except (NotSent, Doubtful) as error:
            raise CannotAsk(str(error)) from None
        if answer.status != 200 or amount is None:
            raise CannotAsk(f"HTTP {answer.status}: {answer.beginning()}")
        return Balance(amount=amount, currency=self._settings.currency)

    async def close(self) -> None:
        await self._wire.close()

    async def _call(self, request: Request, values: Mapping[str, str]) -> Answer:
        known = {"sender": self._settings.sender, **values}
        known |= {f"secret.{name}": value for name, value in self._secrets.items()}

        def filled(template: Any, write: Callable[[str], str] = str) -> Any:
            if isinstance(template, str):
                return _PLACE.sub(lambda place: write(known.get(place[1], "")), template)
            if isinstance(template, dict):
                return {name: filled(value) for name, value in template.items()}
            if isinstance(template, list):
                return [filled(value) for value in template]
            return template

        return await self._wire.call(
            request.method,
            filled(request.url, _in_address),
            query=filled(request.query),
            headers=filled(request.headers),
            form=None if request.form is None else filled(request.form),
            json=filled(request.json),
        )

    def _said(self, number: str, status: Status, said: Any, where: Answered) -> Said:
        price = None if where.price is None else price_of(at(said, where.price))
        return Said(
            provider_message_id=number,
            status=status,
            segments=None if where.segments is None else whole_of(at(said, where.segments)),
            price=price,
            currency=self._settings.currency if price is not None else None,
            error=_error(status, _text(at(said, where.status))),
        )


def at(said: Any, path: str | None) -> Any:
    """What is at `data.0.id`; None when nothing is."""
    if path is None:
        return None
    for name in path.split("."):
        if isinstance(said, dict):
            said = said.get(name)
        elif isinstance(said, list) and name.isdigit() and int(name) < len(said):
            said = said[int(name)]
        else:
            return None
    return said


def _hook(raw: RawRequest) -> Any:
    if "json" in raw.headers.get("content-type", ""):
        return json_of(raw)
    return dict(form_of(raw))


def _id(said: Any, where: Hook) -> str:
    found = _text(at(said, where.id))
    if not found or len(found) > 100 or "\0" in found:
        raise Malformed(f"nothing at {where.id} that can be an id")
    return found


def _text(value: Any) -> str | None:
    return str(value) if isinstance(value, str | int) and not isinstance(value, bool) else None


def _report(number: str, status: Status, word: str) -> Said:
    return Said(provider_message_id=number, status=status, error=_error(status, word))


def _error(status: Status, word: str | None) -> str | None:
    return f"status {word}"[:100] if status in ("failed", "expired") else None


def _rejected(answer: Answer) -> Rejected:
    scope: Literal["busy", "provider", "route"] = "route"
    if answer.status in _BUSY:
        scope = "busy"
    elif answer.status in _ACCOUNT or answer.status < 400:
        scope = "provider"
    return Rejected(code=f"HTTP {answer.status}", detail=answer.beginning(), scope=scope)
