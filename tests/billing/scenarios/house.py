"""A chain with scenarios and a clock the test sets, driven over HTTP."""

from __future__ import annotations

import itertools
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import Any, cast
from uuid import UUID

import httpx
from litestar import Litestar

from billing.app.api import OPERATIONS
from billing.app.services import Services, build_services
from billing.common import deadline
from billing.common.auth import NOBODY, Role
from billing.common.http import Runtime, bind
from billing.common.settings import Settings
from billing.customers.schemas import CustomerIn

START = datetime(2027, 3, 1, 9, 0, tzinfo=UTC)
ADMIN = type(NOBODY)(key_id=UUID(int=1), name="the test", role="admin")
_numbers = itertools.count(1)


@dataclass
class Chain:
    """Channels `shop` and `site`, a store `333` of the shop, the product `milk`."""

    services: Services
    app: Litestar
    now: datetime = START
    clients: dict[Any, httpx.AsyncClient] = field(default_factory=dict)

    async def open(self) -> None:
        client = await self.client()
        for path, body in (
            ("channels/shop", {"name": "Shop"}),
            ("channels/site", {"name": "Site"}),
            ("stores/333", {"name": "No 333", "channel": "shop"}),
            ("product-groups/dairy", {"name": "Dairy"}),
            ("products/milk", {"name": "Milk", "group": "dairy"}),
        ):
            assert (await client.put(f"/v1/{path}", json=body)).is_success

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

    async def scenario(self, on: str, points: str = "100.00", **more: Any) -> str:
        """Publish a program that gives `points` for the event; its code."""
        scenario = {"on": on} | more.pop("scenario", {})
        code = more.pop("code", f"{on}-{next(_numbers)}")
        body = {
            "code": code,
            "name": f"Points for {on}",
            "type": "scenario",
            "valid_from": "2027-01-01T00:00:00+03:00",
            "scenario": scenario,
            "reward": {"kind": "fixed", "value": points},
            "bucket": "promo",
        }
        client = await self.client()
        made = await client.post("/v1/programs", json=body | more)
        assert made.status_code == 201, made.text
        published = await client.post(f"/v1/programs/{code}/publish", json={})
        assert published.status_code == 200, published.text
        return str(code)

    async def customer(self, status: str = "verified", **more: Any) -> str:
        """Registered over HTTP; the id."""
        body = {"phone": f"+7918{next(_numbers):07d}", "status": status} | more
        made = await (await self.client()).post("/v1/customers", json=body)
        assert made.status_code == 201, made.text
        return str(made.json()["id"])

    async def written_only(self, **more: Any) -> str:
        """A verified customer of a process that died right after the commit."""
        new = CustomerIn(phone=f"+7918{next(_numbers):07d}", status="verified", **more)
        return str((await self.services.customers.register(ADMIN, new)).id)

    async def change(self, customer: str, **body: Any) -> None:
        answer = await (await self.client()).patch(f"/v1/customers/{customer}", json=body)
        assert answer.status_code == 200, answer.text

    async def send(
        self, customer: str, event: str, *, key: str = "", role: Role = "admin", **more: Any
    ) -> httpx.Response:
        body = {
            "customer": {"customer_id": customer},
            "event": event,
            "occurred_at": self.now.isoformat(),
        }
        headers = {"idempotency-key": key or f"event-{next(_numbers)}"}
        client = await self.client(role)
        return await client.post("/v1/events", json=body | more, headers=headers)

    async def sweep(self, limit: int = 1000) -> int:
        """As a worker does: with time of its own, not the rest of the last request's."""
        deadline.start(60)
        return await self.services.waiting_scenarios.sweep(limit=limit)

    async def balance(self, customer: str) -> str:
        answer = await (await self.client()).get(f"/v1/customers/{customer}/balance")
        return str(answer.json()["available"])

    async def transactions(self, customer: str) -> list[dict[str, Any]]:
        answer = await (await self.client()).get(f"/v1/customers/{customer}/statement")
        return list(answer.json()["items"])

    async def sell(self, customer: str, number: str, quantity: str = "2") -> None:
        amount = f"{int(quantity) * 50}.00"
        line = {"line": 1, "sku": "milk", "quantity": quantity, "price": "50.00", "amount": amount}
        receipt = {"number": number, "occurred_at": self.now.isoformat(), "lines": [line]}
        body = {
            "customer": {"customer_id": customer},
            "channel": "shop",
            "store": "333",
            "receipt": receipt,
        }
        await self._post("/v1/receipts", body)

    async def bring_back(self, number: str, receipt: str, quantity: str) -> None:
        body = {
            "channel": "shop",
            "store": "333",
            "number": number,
            "occurred_at": self.now.isoformat(),
            "receipt_number": receipt,
            "lines": [{"line": 1, "quantity": quantity}],
        }
        await self._post("/v1/returns", body)

    async def _post(self, path: str, body: dict[str, Any]) -> None:
        headers = {"idempotency-key": f"key-{next(_numbers)}"}
        answer = await (await self.client()).post(path, json=body, headers=headers)
        assert answer.status_code == 201, answer.text


@asynccontextmanager
async def opened(settings: Settings) -> AsyncIterator[Chain]:
    chain: Chain
    services = build_services(settings, lambda: chain.now)
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
    chain = Chain(services, app)
    async with services.running():
        await chain.open()
        yield chain
        for client in chain.clients.values():
            await client.aclose()


def refused(answer: httpx.Response, status: int, code: str) -> dict[str, Any]:
    document: dict[str, Any] = answer.json()
    assert (answer.status_code, document["code"]) == (status, code), answer.text
    return document
