"""One customer's way with a real provider between: what is sent, reported, answered and written
by SMS, through API, queue and worker together (B8, B16 to B22)."""

from __future__ import annotations

import re
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass
from hashlib import sha256
from typing import Any
from urllib.parse import urlencode

import httpx

from billing.common.settings import Settings
from billing.common.wire import encode
from billing.customers.vault import Vault
from billing.messages.acts import CustomerActs
from integrations.sms.running import SmsWork
from integrations.sms.twilio import sign
from tests.billing.verifications.house import House, opened, refused, wrong
from tests.billing.verifications.test_collecting import _program
from tests.billing.verifications.test_paying import post, sale
from tests.integrations.sms.house import SECRETS, SETTINGS, by_smsc
from tests.integrations.sms.peers import Peer, peer_of

PUBLIC = "https://bonus.example.ru"


@dataclass
class Way:
    """A house, a provider of SMS, and a worker between them."""

    house: House
    peer: Peer
    work: SmsWork
    url: str

    async def send(self) -> str:
        """The newest text after what was queued was sent."""
        await self.work.sender.run(linger=False)
        return self.peer.sms[-1].text

    async def hook(self, body: bytes, **headers: str) -> httpx.Response:
        """What the provider tells the API."""
        headers["content-type"] = "application/x-www-form-urlencoded"
        path = self.url.removeprefix(PUBLIC)
        return await (await self.house.client()).post(path, content=body, headers=headers)

    async def twilio(self, *, key: str = "tok_12345", **fields: str) -> httpx.Response:
        signature = sign(key, self.url, fields.items())
        body = urlencode(fields).encode()
        return await self.hook(body, **{"x-twilio-signature": signature})

    async def hears(self, **fields: str) -> None:
        """Twilio tells something, and the worker deals with it."""
        assert (await self.twilio(**fields)).status_code == 200
        await self.works()

    async def smsc(self, *, key: str = "sec", **fields: str) -> httpx.Response:
        """A report of SMSC's, signed; or an SMS of a telephone's, which SMSC does not sign."""
        body = urlencode(fields).encode() if "mes" in fields else by_smsc(key, **fields)
        return await self.hook(body)

    async def works(self) -> None:
        """All that a worker does about what happened, but for sending."""
        work = self.work
        while (
            await work.teller.advance() or await work.reports.step() or await work.inquirer.step()
        ):
            pass


@asynccontextmanager
async def way(settings: Settings, kind: str = "twilio", **changed: Any) -> AsyncIterator[Way]:
    local = {"sms_allow_http": True, "sms_allowed_hosts": frozenset(("127.0.0.1",))}
    async with (
        opened(settings, public_url=PUBLIC, **local, **changed) as house,
        peer_of(kind) as peer,
    ):
        body = {
            "kind": kind,
            "settings": {**SETTINGS[kind], "endpoint": peer.endpoint},
            "secrets": SECRETS[kind],
            "rate_per_minute": 600_000,
        }
        peer.clock = lambda: house.now
        made = await (await house.client()).put("/v1/sms-providers/main", json=body)
        assert made.status_code == 201, made.text
        work = worker(house)
        yield Way(house, peer, work, made.json()["webhook_url"])
        await work.close()


def worker(house: House) -> SmsWork:
    """What one worker carries messages with."""
    services, settings = house.services, house.services.settings
    acts = CustomerActs(services.verifications, services.consents, services.customers)
    people = Vault(settings.secret_key)
    return SmsWork(settings, people, acts, services.consents, lambda: house.now)


async def test_from_the_code_to_the_stop(settings: Settings) -> None:
    async with way(settings, redemption_code_from=10_00) as one:
        house, client = one.house, await one.house.client()
        await client.put("/v1/product-groups/g-codes", json={"name": "x"})
        await _program(house, "ten")
        customer = await house.customer()
        phone = customer["phone"]

        verification = (await house.started(customer["id"]))["id"]
        words = await one.send()
        code = re.search(r"\b[0-9]{6}\b", words)
        assert code is not None
        forged = await one.twilio(key="another", MessageSid="SM1", MessageStatus="delivered")
        assert forged.status_code == 403
        assert (await house.look(verification))["delivery"] == "accepted"
        await one.hears(MessageSid="SM1", MessageStatus="delivered")
        await one.hears(MessageSid="SM1", MessageStatus="sent")
        assert (await house.look(verification))["delivery"] == "delivered"
        await one.hears(MessageSid="SMa", From=phone, Body=code[0])
        assert await house.status(customer["id"]) == "verified"
        assert "подтверждён" in await one.send()

        assert (await post(house, "/v1/receipts", sale(house, customer["id"]))).status_code == 201
        await one.hears(MessageSid="SMb", From=phone, Body="Баланс")
        assert "Бонусов: 90" in await one.send()

        house.later(minutes=5)
        asked = await house.started(
            customer["id"], "redemption", points="50.00", method="sms_reply"
        )
        assert "спишется бонусов: 50" in await one.send()
        await one.hears(MessageSid="SMc", From=phone, Body="ДА")
        assert (await house.look(asked["id"]))["confirmed_by"] == "reply"
        paid = sale(house, customer["id"]) | {"points": "50.01", "verification_id": asked["id"]}
        assert (await post(house, "/v1/redemptions", paid)).status_code == 409
        paid = sale(house, customer["id"]) | {"points": "50.00", "verification_id": asked["id"]}
        assert (await post(house, "/v1/redemptions", paid)).status_code == 201

        for _ in range(2):
            await one.hears(MessageSid="SMd", From=phone, Body="стоп")
        path = f"/v1/customers/{customer['id']}/consents"
        stopped, *_ = (await client.get(path)).json()["items"]
        assert (stopped["kind"], stopped["action"], stopped["method"]) == (
            "messages", "withdrawn", "inbound",
        )  # fmt: skip
        sent = len(one.peer.sms)
        await one.send()
        assert len(one.peer.sms) == sent + 2, "yes and stop were answered, once each"


TEXT = "Код {code}. Назвав его, вы соглашаетесь на обработку данных[, {name}]. {brand}"


async def test_from_the_till_to_the_stop_through_a_russian_provider(settings: Settings) -> None:
    """The whole path in one go: registered at the till, collected, written to, confirmed, spent,
    and left in peace (B16 to B22)."""
    async with way(settings, "smsc", unverified="collect") as one:
        house, client, peer = one.house, await one.house.client(), one.peer
        await _program(house, "ten")
        template = await client.put("/v1/message-templates/consent/ru", json={"text": TEXT})
        tell = {"tell": {"accrual": True, "redemption": True}, "brand": "Fresh"}
        assert (await client.put("/v1/message-settings", json=tell)).is_success
        await one.works()

        cashier = await house.client("pos", "c-codes")
        phone = house.phone()
        new = {"phone": phone, "name": "Анна", "seller": "Olga", "store": "s-codes"}
        customer = (await cashier.post("/v1/customers", json=new)).json()["id"]

        async def sells(**more: Any) -> dict[str, Any]:
            body = sale(house, customer) | more
            path = "/v1/redemptions" if "points" in more else "/v1/receipts"
            key = {"idempotency-key": body["receipt"]["number"], "accept-language": "ru"}
            answer = await cashier.post(path, json=body, headers=key)
            assert answer.status_code == 201, answer.text
            return dict(answer.json())

        async def balance() -> tuple[str, str]:
            now = (await client.get(f"/v1/customers/{customer}/balance")).json()
            return now["available"], now.get("awaiting_verification", "0.00")

        slip = (await sells())["slip"]
        assert slip["phone_masked"] == f"+7******{phone[-4:]}"
        assert any(row.split() == ["После", "подтверждения", "90.00"] for row in slip["text"])
        assert await balance() == ("0.00", "90.00")

        asked_at = house.now
        verification = (await house.started(customer, seller="Olga", store="s-codes"))["id"]
        words = await one.send()
        sms = peer.sms[-1]
        code = re.search(r"\b[0-9]{6}\b", words)
        assert code is not None
        assert sms.phone == phone
        assert words == f"Код {code[0]}. Назвав его, вы соглашаетесь на обработку данных. Fresh"
        assert len(peer.sms) == 1, "who is not verified is told of no points"

        said = {"id": sms.id, "phone": phone[1:]}
        forged = await one.smsc(key="another", status="1", **said)
        assert forged.status_code == 403
        await one.works()
        assert (await house.look(verification))["delivery"] == "accepted"
        house.later(minutes=1)
        for status, moment in (("1", "1"), ("1", "1"), ("1", "2"), ("0", "3"), ("0", "4")):
            answer = await one.smsc(status=status, time=moment, **said)
            assert (answer.status_code, answer.content) == (200, b"OK")
            await one.works()
            assert (await house.look(verification))["delivery"] == "delivered"

        refused(await house.confirm(verification, wrong(code[0])), 409, "verification_failed")
        assert await house.status(customer) == "unverified"
        assert (await house.confirm(verification, code[0])).status_code == 200
        await one.smsc(status="20", time="5", **said)
        await one.works()
        seen = await house.look(verification)
        assert (seen["state"], seen["delivery"]) == ("confirmed", "delivered")

        path = f"/v1/customers/{customer}/consents"
        (consent,) = (await client.get(path)).json()["items"]
        message = consent.pop("message_id")
        assert (await client.get(f"/v1/messages/{message}")).json()["status"] == "delivered"
        del consent["id"]
        assert consent == {
            "customer_id": customer,
            "kind": "processing",
            "action": "given",
            "method": "code",
            "text": words,
            "text_sha256": sha256(words.encode()).hexdigest(),
            "text_version": str(template.json()["version"]),
            "language": "ru",
            "requested_at": encode(asked_at)[1:-1].decode(),
            "at": encode(house.now)[1:-1].decode(),
            "channel": "c-codes",
            "store": "s-codes",
            "seller": "Olga",
            "author": "the pos",
            "verification_id": verification,
            "provider_message_id": sms.id,
        }

        assert await balance() == ("90.00", "0.00")
        await sells(points="50.00")
        assert await balance() == ("40.00", "0.00")
        await one.works()
        assert await one.send() == "Списано бонусов: 50. Баланс: 40. Fresh"

        stop = {"sms_id": "77", "phone": phone[1:], "to": "79000000000", "mes": "СТОП"}
        assert (await one.smsc(**stop)).status_code == 200
        await one.works()
        assert len((await client.get(path)).json()["items"]) == 1, "SMSC knows of no such SMS"
        peer.answers = [{"id": 77, "phone": stop["phone"], "message": "СТОП"}]
        house.later(minutes=1)
        for _ in range(2):
            await one.smsc(**stop)
            await one.works()
        stopped, given = (await client.get(path)).json()["items"]
        assert (stopped["kind"], stopped["action"], stopped["method"], given["kind"]) == (
            "messages", "withdrawn", "inbound", "processing",
        )  # fmt: skip
        assert await one.send() == "Больше сообщений не будет. Fresh"

        sent = len(peer.sms)
        await sells()
        await sells(points="10.00")
        for _ in range(3):
            await one.works()
            await one.send()
            house.later(days=1)
        assert (len(peer.sms), await balance()) == (sent, ("120.00", "0.00"))
