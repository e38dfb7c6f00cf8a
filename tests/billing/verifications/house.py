"""A chain that sends codes, with a clock the test sets and a console that shows what was sent."""

from __future__ import annotations

import itertools
import re
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from typing import Any, cast
from uuid import UUID

import httpx
import msgspec
from litestar import Litestar
from sqlalchemy import text

from billing.app.api import OPERATIONS
from billing.app.services import Services, build_services
from billing.common.auth import Role
from billing.common.http import Runtime, bind
from billing.common.settings import Settings
from billing.common.settings_values import Limit
from billing.customers.vault import Vault
from billing.messages.sealing import MessageVault
from billing.messages.templates import Rendered
from billing.messages.wording import Kind, Value

START = datetime(2027, 3, 1, 9, 0, tzinfo=UTC)
_numbers = itertools.count(1)
SHOWN = "Я согласен на обработку персональных данных."
"""What is shown where no SMS of ours carries the consent."""
NO_LIMITS: tuple[Limit, ...] = (Limit("phone", 1000, 3600),)


@dataclass
class House:
    """Answers come over HTTP; what is sent is read where the provider would read it."""

    services: Services
    app: Litestar
    vault: MessageVault
    now: datetime = START
    clients: dict[Any, httpx.AsyncClient] = field(default_factory=dict)

    async def open(self) -> None:
        client = await self.client()
        for path in ("channels/c-codes", "channels/c-other"):
            assert (await client.put(f"/v1/{path}", json={"name": "x"})).is_success
        body = {"name": "x", "channel": "c-codes"}
        assert (await client.put("/v1/stores/s-codes", json=body)).is_success

    def later(self, **by: float) -> None:
        self.now += timedelta(**by)

    async def client(self, role: Role = "admin", channel: str | None = None) -> httpx.AsyncClient:
        made = self.clients.get((role, channel))
        if made is None:
            _, secret = await self.services.keys.create(role, f"the {role}", channel, None)
            made = self.clients[role, channel] = httpx.AsyncClient(
                transport=httpx.ASGITransport(cast(Any, self.app)),
                base_url="http://test",
                headers={"authorization": f"Bearer {secret}"},
            )
        return made

    def phone(self) -> str:
        """One nobody else has, of a range of its own for each thousand."""
        return f"+7903{next(_numbers) * 7919 % 10_000_000:07d}"

    async def customer(self, status: str = "unverified", **more: Any) -> dict[str, Any]:
        body = {"phone": self.phone(), "status": status, "channel": "c-codes"} | more
        made = await (await self.client()).post("/v1/customers", json=body)
        assert made.status_code == 201, made.text
        return dict(made.json())

    async def start(
        self, customer: str, purpose: str = "registration", role: Role = "pos", **more: Any
    ) -> httpx.Response:
        client = await self.client(role)
        body: dict[str, Any] = {"purpose": purpose, "channel": "c-codes"}
        if purpose == "redemption":
            body["points"] = "500.00"
        if purpose == "registration" and more.get("method") in ("provider", "flash_call"):
            body["text"] = SHOWN
        body |= more
        return await client.post(f"/v1/customers/{customer}/verifications", json=body)

    async def started(
        self, customer: str, purpose: str = "registration", **more: Any
    ) -> dict[str, Any]:
        answer = await self.start(customer, purpose, **more)
        assert answer.status_code == 201, answer.text
        return dict(answer.json())

    async def confirm(self, verification: str, code: str, role: Role = "pos") -> httpx.Response:
        path = f"/v1/verifications/{verification}/confirm"
        return await (await self.client(role)).post(path, json={"code": code})

    async def resend(self, verification: str) -> httpx.Response:
        return await (await self.client("pos")).post(f"/v1/verifications/{verification}/resend")

    async def look(self, verification: str) -> dict[str, Any]:
        answer = await (await self.client("pos")).get(f"/v1/verifications/{verification}")
        assert answer.status_code == 200, answer.text
        return dict(answer.json())

    async def status(self, customer: str) -> str:
        answer = await (await self.client()).get(f"/v1/customers/{customer}")
        return str(answer.json()["status"])

    async def sent(self, verification: str) -> list[tuple[str, str]]:
        """Phone and text of a verification's messages that no provider has yet, oldest first."""
        query = text(
            "SELECT id, phone_encrypted, text_encrypted FROM billing.messages"
            " WHERE verification_id = :of AND text_encrypted IS NOT NULL ORDER BY created_at, id"
        )
        async with self.services.database.transaction() as tx:
            rows = (await tx.execute(query, {"of": UUID(verification)})).all()
        return [
            (
                self.vault.unseal(row.id, "phone", row.phone_encrypted),
                self.vault.unseal(row.id, "text", row.text_encrypted),
            )
            for row in rows
        ]

    async def render(self, kind: Kind, variables: dict[str, Value]) -> Rendered:
        """The Russian text of `kind`."""
        async with self.services.database.transaction() as tx:
            return await self.services.messages.render(tx, kind, "ru", variables)

    async def code(self, verification: str) -> str:
        """The last one that was sent."""
        _, words = (await self.sent(verification))[-1]
        found = re.search(r"\b[0-9]{6}\b", words)
        assert found is not None
        return found[0]

    async def verified(self, **more: Any) -> dict[str, Any]:
        """A customer who said the code."""
        customer = await self.customer(**more)
        verification = await self.started(customer["id"])
        done = await self.confirm(verification["id"], await self.code(verification["id"]))
        assert done.status_code == 200, done.text
        return customer


def wrong(code: str) -> str:
    """Another code than this one."""
    return f"{(int(code) + 1) % 10 ** len(code):0{len(code)}d}"


@asynccontextmanager
async def opened(settings: Settings, **changed: Any) -> AsyncIterator[House]:
    house: House
    settings = msgspec.structs.replace(settings, **{"code_limits": NO_LIMITS} | changed)
    services = build_services(settings, lambda: house.now)
    runtime = Runtime(
        authenticator=services.keys,
        services=services.by_class(),
        max_body_bytes=settings.max_body_bytes,
    )
    app = Litestar(
        route_handlers=[bind(one, runtime) for one in OPERATIONS],
        openapi_config=None,
        logging_config=None,
    )
    key = settings.secret_key
    house = House(services, app, MessageVault(key, Vault(key)))
    async with services.running():
        await house.open()
        yield house
        for client in house.clients.values():
            await client.aclose()


def refused(answer: httpx.Response, status: int, code: str) -> dict[str, Any]:
    document: dict[str, Any] = answer.json()
    assert (answer.status_code, document["code"]) == (status, code), answer.text
    return document
