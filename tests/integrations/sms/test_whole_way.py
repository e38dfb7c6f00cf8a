"""One customer's way with a real provider between: what is sent, reported, answered and written
by SMS, through API, queue and worker together (B8, B17 to B20)."""

from __future__ import annotations

import re
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass
from typing import Any
from urllib.parse import urlencode

import httpx

from billing.common.settings import Settings
from billing.customers.vault import Vault
from billing.messages.acts import CustomerActs
from integrations.sms.running import SmsWork
from integrations.sms.twilio import sign
from tests.billing.verifications.house import House, opened
from tests.billing.verifications.test_collecting import _program
from tests.billing.verifications.test_paying import post, sale
from tests.integrations.sms.house import SECRETS, SETTINGS
from tests.integrations.sms.peers import Peer, peer_of

PUBLIC = "https://bonus.example.ru"


@dataclass
class Way:
    """A house, Twilio, and a worker between them."""

    house: House
    peer: Peer
    work: SmsWork
    url: str

    async def send(self) -> str:
        """The newest text after what was queued was sent."""
        await self.work.sender.run(linger=False)
        return self.peer.sms[-1].text

    async def hook(self, *, key: str = "tok_12345", **fields: str) -> httpx.Response:
        """What Twilio tells the API."""
        client = await self.house.client()
        headers = {
            "content-type": "application/x-www-form-urlencoded",
            "x-twilio-signature": sign(key, self.url, fields.items()),
        }
        path = self.url.removeprefix(PUBLIC)
        return await client.post(path, content=urlencode(fields).encode(), headers=headers)

    async def hears(self, **fields: str) -> None:
        assert (await self.hook(**fields)).status_code == 200
        while await self.work.reports.step():
            pass


@asynccontextmanager
async def way(settings: Settings, **changed: Any) -> AsyncIterator[Way]:
    local = {"sms_allow_http": True, "sms_allowed_hosts": frozenset(("127.0.0.1",))}
    async with opened(settings, public_url=PUBLIC, **local, **changed) as house:
        services = house.services
        async with peer_of("twilio") as peer:
            body = {
                "kind": "twilio",
                "settings": {**SETTINGS["twilio"], "endpoint": peer.endpoint},
                "secrets": SECRETS["twilio"],
            }
            made = await (await house.client()).put("/v1/sms-providers/main", json=body)
            assert made.status_code == 201, made.text
            acts = CustomerActs(services.verifications, services.consents, services.customers)
            work = SmsWork(
                services.settings,
                Vault(settings.secret_key),
                acts,
                services.consents,
                lambda: house.now,
            )
            yield Way(house, peer, work, made.json()["webhook_url"])
            await work.close()


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
        forged = await one.hook(key="another", MessageSid="SM1", MessageStatus="delivered")
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
