"""Twilio as its API reference has it: what does not fit is refused, what does is answered as Twilio
answers."""

from __future__ import annotations

import asyncio
import json
import re
from collections.abc import AsyncIterator
from typing import Any
from urllib.parse import parse_qsl, urlsplit

import pytest

from billing.messages.checks import CheckStarted
from integrations.sms.gateway import CheckGateway
from ledger.ids import uuid7
from tests.integrations.sms.house import ANNA, House
from tests.integrations.sms.peers import Peer
from tests.integrations.sms.twilio_contract import OPERATIONS, Operation, S, sid
from tests.integrations.webhooks.receiver import Message, listening, status

SETTINGS = {"account_sid": f"AC{S}", "verify_service_sid": f"VA{S}"}


class Documented(Peer):
    """Writes down what it refused, and which operations it answered."""

    def __init__(self, receiver: Any) -> None:
        super().__init__(receiver, "twilio")
        self.wrong: list[str] = []
        self.answered: list[str] = []

    async def handle(self, message: Message, writer: asyncio.StreamWriter) -> None:
        method, address = "POST" if message.body else "GET", urlsplit(message.path)
        operation = next((one for one in OPERATIONS if one.match(method, address.path)), None)
        wrong = [f"no operation {method} {address.path}"]
        if operation is not None:
            wrong = faults(operation, message, dict(parse_qsl(address.query)))
        if operation is None or wrong:
            self.wrong += wrong
            code, body = 422, {"code": 20001, "message": "; ".join(wrong), "status": 422}
        else:
            self.answered.append(operation.name)
            code, body = operation.status, operation.answer
        said = status(code, json.dumps(body).encode(), content_type="application/json")
        await said(message, writer)


def faults(operation: Operation, message: Message, query: dict[str, str]) -> list[str]:
    form = dict(parse_qsl(message.body.decode(), strict_parsing=bool(message.body)))
    is_form = message.headers.get("content-type") == "application/x-www-form-urlencoded"
    wrong = ["not a form"] if message.body and not is_form else []
    wrong += [f"{name} is missing" for name in operation.required if name not in form]
    for values, patterns in ((form, operation.form), (query, operation.query)):
        wrong += [
            f"{name}={value} does not fit"
            for name, value in values.items()
            if name not in patterns or not re.fullmatch(patterns[name], value)
        ]
    return wrong


@pytest.fixture
async def documented() -> AsyncIterator[Documented]:
    async with listening() as receiver:
        made = Documented(receiver)
        receiver.answer = made.handle
        yield made


@pytest.mark.parametrize(
    "sender", [{"sender": "+15557654321"}, {"sender": None, "messaging_service_sid": f"MG{S}"}]
)
async def test_what_is_sent_and_asked_fits_the_contract(
    house: House, documented: Documented, sender: dict[str, Any]
) -> None:
    await house.add(documented, settings=SETTINGS | sender)
    message = await house.sent()
    assert documented.wrong == []
    assert (message.status, message.segments) == ("accepted", 1)
    assert re.fullmatch("SM[0-9a-f]{32}", message.provider_message_id or "")
    await house.later(minutes=3)
    one = await house.get(message.id)
    assert (one.status, one.error) == ("sent", "error 30007")
    balance = await house.providers.balance("twilio")
    assert (f"{balance.amount:f}", balance.currency) == ("0.05", "USD")
    assert documented.wrong == []
    assert documented.answered == [
        "POST Messages.json",
        f"GET {sid('SM')}.json",
        "GET Balance.json",
    ]


async def test_a_lost_message_is_looked_for_as_the_contract_allows(
    house: House, documented: Documented
) -> None:
    await house.add(documented, settings=SETTINGS)
    message = await house.enqueue()
    answer, documented.receiver.answer = documented.receiver.answer, _hang_up
    await house.send()
    documented.receiver.answer = answer
    await house.later(seconds=6)
    assert (await house.get(message)).status == "unknown"
    assert (documented.wrong, documented.answered) == ([], ["GET Messages.json"])


async def test_verify_is_asked_as_the_contract_allows(house: House, documented: Documented) -> None:
    await house.add(documented, settings=SETTINGS)
    gateway = CheckGateway(house.database, house.fleet, "provider")
    started = await gateway.start(uuid7(), ANNA, "ru")
    assert started == CheckStarted(ref=f"twilio:VE{S}")
    assert await gateway.check(started.ref, "123456")
    await gateway.cancel(started.ref)
    assert documented.wrong == []
    assert documented.answered == [
        "POST Verifications",
        "POST VerificationCheck",
        f"POST {sid('VE')}",
    ]


async def test_the_contract_refuses_what_does_not_fit_it(
    house: House, documented: Documented
) -> None:
    await house.add(documented, settings={**SETTINGS, "account_sid": "AC1"})
    message = await house.sent()
    (attempt,) = await house.history(message.id)
    assert attempt.outcome == "rejected"
    assert documented.wrong == ["no operation POST /2010-04-01/Accounts/AC1/Messages.json"]


async def _hang_up(message: Message, writer: asyncio.StreamWriter) -> None:
    writer.close()
