"""Providers of SMS as their documentation has them, on 127.0.0.1, with the faults they have.

`faults` are taken one a send: "drop after" accepts and hangs up, "drop before" hangs up without
accepting, "hang after" accepts and says nothing, "html" answers 200 with a page; an int is a code
of the provider's own.
"""

from __future__ import annotations

import asyncio
import base64
import itertools
import json
from collections.abc import AsyncIterator, Callable, Iterator
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from datetime import datetime
from email.utils import format_datetime
from typing import Any
from urllib.parse import parse_qsl, urlsplit

from tests.integrations.webhooks.receiver import Message, Receiver, listening, never, status
from tests.ledger.conftest import START

HTML = b"<html>Service is temporarily unavailable</html>"


@dataclass
class Sms:
    """What a provider took."""

    id: str
    phone: str
    text: str
    status: str = ""
    fields: dict[str, Any] = field(default_factory=dict)
    at: datetime = START


@dataclass
class Peer:
    """A provider; `kind` and `endpoint` are as the registry wants them."""

    receiver: Receiver
    kind: str = ""
    sms: list[Sms] = field(default_factory=list)
    faults: list[Any] = field(default_factory=list)
    answers: list[Any] = field(default_factory=list)
    asked: list[str] = field(default_factory=list)
    down: bool = False
    clock: Callable[[], datetime] = lambda: START
    ids: Iterator[int] = field(default_factory=lambda: itertools.count(1))

    @property
    def endpoint(self) -> str:
        return f"http://127.0.0.1:{self.receiver.port}"

    def find(self, sms_id: str) -> Sms | None:
        return next((one for one in self.sms if one.id == sms_id), None)

    async def handle(self, message: Message, writer: asyncio.StreamWriter) -> None:
        path = urlsplit(message.path).path
        self.asked.append(path)
        if self.down:
            writer.close()
            return
        code, body = 200, self.reply(path, message)
        if isinstance(body, tuple):
            code, body = body
        fault = self.faults.pop(0) if self.faults and self.is_send(path, message) else None
        if fault == "drop before":
            self.sms.pop()
            writer.close()
        elif fault == "drop after":
            writer.close()
        elif fault == "hang after":
            await never(message, writer)
        elif fault == "html":
            await status(200, HTML)(message, writer)
        elif fault is not None:
            self.sms.pop()
            code, body = self.refusal(fault)
            await _json(code, body, message, writer)
        else:
            await _json(code, body, message, writer)

    def is_send(self, path: str, message: Message) -> bool:
        raise NotImplementedError

    def reply(self, path: str, message: Message) -> Any:
        raise NotImplementedError

    def refusal(self, code: Any) -> tuple[int, Any]:
        raise NotImplementedError


class SmscPeer(Peer):
    def is_send(self, path: str, message: Message) -> bool:
        return path == "/sys/send.php"

    def reply(self, path: str, message: Message) -> Any:
        fields = form(message)
        assert fields["fmt"] == "3"
        if fields.get("apikey") != "key" and fields.get("psw") != "pass":
            return {"error": "authorise error", "error_code": 2}
        if path == "/sys/send.php":
            made = Sms(fields["id"], f"+{fields['phones']}", fields["mes"], "0", fields)
            self.sms.append(made)
            return {"id": int(made.id), "cnt": 2, "cost": "3.50", "balance": "996.5"}
        if path == "/sys/status.php":
            found = self.find(fields["id"])
            if found is None or found.phone != f"+{fields['phone']}":
                return {"status": -3, "err": 0, "id": fields["id"], "phone": fields["phone"]}
            return {"status": int(found.status), "err": 0, "last_date": "01.01.2026 00:00:00"}
        if path == "/sys/get.php":
            assert fields["get_answers"] == "1"
            return self.answers
        assert path == "/sys/balance.php"
        return {"balance": "996.50", "currency": "RUR"}

    def refusal(self, code: Any) -> tuple[int, Any]:
        return 200, {"error": "refused", "error_code": code}


class SmsruPeer(Peer):
    def is_send(self, path: str, message: Message) -> bool:
        return path == "/sms/send"

    def reply(self, path: str, message: Message) -> Any:
        fields = form(message)
        assert fields["json"] == "1"
        if fields["api_id"] != "API":
            return {"status": "ERROR", "status_code": 200, "status_text": "Неправильный api_id"}
        if path == "/sms/send":
            made = Sms(f"000000-{next(self.ids)}", f"+{fields['to']}", fields["msg"], "100", fields)
            self.sms.append(made)
            one = {"status": "OK", "status_code": 100, "sms_id": made.id, "cost": "2.10"}
            return {"status": "OK", "status_code": 100, "sms": {fields["to"]: one}, "balance": 99.5}
        if path == "/sms/status":
            found = self.find(fields["sms_id"])
            one = {"status": "OK", "status_code": int(found.status) if found else -1}
            return {"status": "OK", "status_code": 100, "sms": {fields["sms_id"]: one}}
        if path == "/code/call":
            return {"status": "OK", "code": "1435", "call_id": "000-1", "status_code": 100}
        if path == "/callcheck/add":
            return {
                "status": "OK",
                "status_code": 100,
                "check_id": "201737-542",
                "call_phone": "78005008275",
            }
        if path == "/callcheck/status":
            return {"status": "OK", "status_code": 100, "check_status": self.answers[0]}
        assert path == "/my/balance"
        return {"status": "OK", "status_code": 100, "balance": 4122.56}

    def refusal(self, code: Any) -> tuple[int, Any]:
        """A list: the request is right, and the phone's own code is that one."""
        if isinstance(code, list):
            one = {"status": "ERROR", "status_code": code[0], "status_text": "нет"}
            return 200, {"status": "OK", "status_code": 100, "sms": {"79990000001": one}}
        return 200, {"status": "ERROR", "status_code": code, "status_text": "нет"}


class ExolvePeer(Peer):
    def is_send(self, path: str, message: Message) -> bool:
        return path == "/messaging/v1/SendSMS"

    def reply(self, path: str, message: Message) -> Any:
        if message.headers.get("authorization") != "Bearer key":
            return 401, {"error": {"message": "unauthorized"}}
        body = json.loads(message.body)
        if path == "/messaging/v1/SendSMS":
            made = Sms(
                str(439166538239448000 + next(self.ids)),
                f"+{body['destination']}",
                body["text"],
                "SMS_DELIVERY_STATUS_QUEUED",
                body,
            )
            self.sms.append(made)
            return {"message_id": made.id}
        assert path == "/messaging/v1/GetList"
        if "message_id" in body:
            return {"messages": [*self._listed(str(body["message_id"])), *self._written(body)]}
        assert body["limit"] <= 2000
        return {
            "messages": [
                one
                for sms in self.sms
                for one in self._listed(sms.id)
                if one["receiver"] == body["number"]
            ]
        }

    def _listed(self, sms_id: str) -> list[dict[str, Any]]:
        return [
            {
                "message_id": one.id,
                "receiver": one.phone[1:],
                "sender": one.fields["number"],
                "text": one.text,
                "direction": "DIRECTION_OUTGOING",
                "delivery_status": one.status,
                "segments_count": 2,
            }
            for one in self.sms
            if one.id == sms_id
        ]

    def _written(self, body: dict[str, Any]) -> list[dict[str, Any]]:
        return [one for one in self.answers if one["message_id"] == str(body["message_id"])]

    def refusal(self, code: Any) -> tuple[int, Any]:
        """A str: HTTP 200 with an error in the body."""
        if isinstance(code, str):
            return 200, {"error": {"code": code, "message": "no"}}
        return code, {"error": {"code": code, "message": "no"}}


class TwilioPeer(Peer):
    def is_send(self, path: str, message: Message) -> bool:
        return path.endswith("/Messages.json") and bool(message.body)

    def reply(self, path: str, message: Message) -> Any:
        right = base64.b64encode(b"AC1:tok_12345").decode()
        if message.headers.get("authorization") != f"Basic {right}":
            return 401, {"code": 20003, "message": "Authenticate", "status": 401}
        account = "/2010-04-01/Accounts/AC1"
        if path.startswith("/v2/Services/VA1/"):
            return self._verify(path.removeprefix("/v2/Services/VA1/"), form(message))
        if path == f"{account}/Messages.json" and message.body:
            fields = form(message)
            number = f"SM{next(self.ids)}"
            made = Sms(number, fields["To"], fields["Body"], "queued", fields, self.clock())
            self.sms.append(made)
            return 201, self._shown(made)
        if path == f"{account}/Messages.json":
            query = dict(parse_qsl(urlsplit(message.path).query))
            return {"messages": [self._shown(s) for s in self.sms if s.phone == query["To"]]}
        if path == f"{account}/Balance.json":
            return {"currency": "USD", "balance": "-1.25", "account_sid": "AC1"}
        found = self.find(path.rpartition("/")[2].removesuffix(".json"))
        if found is None:
            return 404, {"code": 20404, "message": "not found", "status": 404}
        return self._shown(found)

    def _shown(self, one: Sms) -> dict[str, Any]:
        over = one.status in ("delivered", "sent")
        return {
            "sid": one.id,
            "status": one.status,
            "to": one.phone,
            "body": one.text,
            "num_segments": "2",
            "price": "-0.01500" if over else None,
            "price_unit": "USD",
            "error_code": None,
            "date_created": format_datetime(one.at),
        }

    def _verify(self, path: str, fields: dict[str, str]) -> Any:
        if path == "Verifications":
            return 201, {"sid": "VE1", "status": "pending", "to": fields["To"]}
        if path == "VerificationCheck":
            if self.faults:
                code = self.faults.pop(0)
                return (404 if code == 20404 else 429), {"code": code, "message": "no"}
            return {"sid": "VE1", "status": "approved" if fields["Code"] == "1234" else "pending"}
        assert path == "Verifications/VE1"
        assert fields == {"Status": "canceled"}
        return {"sid": "VE1", "status": "canceled"}

    def refusal(self, code: Any) -> tuple[int, Any]:
        http = {20003: 401, 20429: 429}.get(code, 400)
        return http, {"code": code, "message": "no", "status": http}


class HttpPeer(Peer):
    """A gateway of no kind we know."""

    def is_send(self, path: str, message: Message) -> bool:
        return path == "/send"

    def reply(self, path: str, message: Message) -> Any:
        if message.headers.get("x-key") != "secret":
            return 401, {}
        if path == "/send":
            body = json.loads(message.body)
            made = Sms(f"g{next(self.ids)}", body["to"], body["content"]["text"], "ACCEPTD", body)
            self.sms.append(made)
            return {"data": [{"id": made.id}], "error": ""}
        found = self.find(path.rpartition("/")[2])
        return {"state": found.status if found else "NONE", "price": "0.9", "parts": 1}

    def refusal(self, code: Any) -> tuple[int, Any]:
        return 200, {"data": [], "error": code}


PEERS: dict[str, type[Peer]] = {
    "smsc": SmscPeer, "smsru": SmsruPeer, "exolve": ExolvePeer, "twilio": TwilioPeer,
    "http": HttpPeer,
}  # fmt: skip


@asynccontextmanager
async def peer_of(kind: str) -> AsyncIterator[Peer]:
    async with listening() as receiver:
        made = PEERS[kind](receiver, kind)
        receiver.answer = made.handle
        yield made


def form(message: Message) -> dict[str, str]:
    pairs = parse_qsl(message.body.decode(), keep_blank_values=True, strict_parsing=True)
    assert len({name for name, _ in pairs}) == len(pairs)
    return dict(pairs)


async def _json(code: int, body: Any, message: Message, writer: asyncio.StreamWriter) -> None:
    encoded = json.dumps(body, ensure_ascii=False).encode()
    await status(code, encoded, content_type="application/json")(message, writer)
