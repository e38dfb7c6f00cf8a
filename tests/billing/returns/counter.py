"""A shop's counter whose clock the test sets: goods go out, and some come back."""

from __future__ import annotations

import itertools
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from typing import Any, cast

import httpx
from litestar import Litestar

from billing.app.api import OPERATIONS
from billing.app.services import Services, build_services
from billing.common.auth import Role
from billing.common.http import Runtime, bind
from billing.common.settings import Settings

START = datetime(2027, 3, 1, 9, 0, tzinfo=UTC)
DAY = timedelta(days=1)
_numbers = itertools.count(1)


@dataclass
class Clock:
    now: datetime = START

    def __call__(self) -> datetime:
        return self.now


@dataclass
class Counter:
    """One shop with a channel of its own, one customer, and whoever asks."""

    clock: Clock
    services: Services
    app: Litestar
    stack: AsyncExitStack
    number: int = field(default_factory=lambda: next(_numbers))
    clients: dict[Any, httpx.AsyncClient] = field(default_factory=dict)

    @property
    def channel(self) -> str:
        return f"ch-{self.number}"

    @property
    def store(self) -> str:
        return f"st-{self.number}"

    async def newcomer(self) -> None:
        """From now on another customer is at the counter, one without points."""
        self.customer = {"phone": f"+7903{next(_numbers):07d}"}
        admin = await self.client("admin")
        made = await admin.post("/v1/customers", json={**self.customer, "status": "verified"})
        self.customer_id = str(done(made)["id"])

    async def open(self) -> Counter:
        admin = await self.client("admin")
        put = {
            f"/v1/channels/{self.channel}": {"name": "C"},
            f"/v1/stores/{self.store}": {"name": "S", "channel": self.channel},
            f"/v1/product-groups/all-{self.number}": {"name": "all"},
            **{
                f"/v1/product-groups/{name}-{self.number}": {
                    "name": name,
                    "parent": f"all-{self.number}",
                }
                for name in "abc"
            },
        }
        for path, body in put.items():
            done(await admin.put(path, json=body))
        await self.newcomer()
        return self

    async def another(self) -> Counter:
        """Another shop of the same house, with a customer of its own."""
        other = Counter(self.clock, self.services, self.app, self.stack, clients=self.clients)
        return await other.open()

    async def client(
        self, role: Role = "admin", channel: str | None = None, store: str | None = None
    ) -> httpx.AsyncClient:
        made = self.clients.get((role, channel, store))
        if made is None:
            _, secret = await self.services.keys.create(role, f"the {role}", channel, store)
            made = httpx.AsyncClient(
                transport=httpx.ASGITransport(cast(Any, self.app)),
                base_url="http://test",
                headers={"authorization": f"Bearer {secret}"},
            )
            await self.stack.enter_async_context(made)
            self.clients[role, channel, store] = made
        return made

    async def program(self, code: str, reward: Any = "10", **more: Any) -> str:
        """Publish a program of this channel: so many percent, or another reward."""
        if isinstance(reward, str):
            reward = {"kind": "percent", "value": reward}
        body = {
            "code": f"{code}-{self.number}",
            "name": code,
            "valid_from": "2020-01-01T00:00:00Z",
            "scope": {"channels": [self.channel]},
            "reward": reward,
            **more,
        }
        await self.publish(body)
        return str(body["code"])

    async def publish(self, body: dict[str, Any], versions: bool = False) -> None:
        admin = await self.client("admin")
        path = f"/v1/programs/{body['code']}"
        if versions:
            rest = {name: value for name, value in body.items() if name != "code"}
            done(await admin.post(f"{path}/versions", json=rest))
        else:
            done(await admin.post("/v1/programs", json=body))
        done(await admin.post(f"{path}/publish", json={"from": self.clock.now.isoformat()}))

    def line(self, number: int, amount: str, quantity: str = "1", group: str = "a") -> Any:
        """`amount` is that of the whole line; whatever the price is, it fits."""
        cents = int(amount.replace(".", ""))
        micro = int(float(quantity) * 1_000_000)
        price = (cents * 1_000_000 + micro // 2) // micro if micro else 0
        return {
            "line": number,
            "sku": f"sku-{self.number}-{number}",
            "group": f"{group}-{self.number}",
            "quantity": quantity,
            "price": f"{price // 100}.{price % 100:02d}",
            "amount": amount,
        }

    def sale(self, *lines: Any, number: str = "", **more: Any) -> dict[str, Any]:
        """A sale of `lines`: dicts, or amounts of single pieces."""
        made = [
            self.line(n, one) if isinstance(one, str) else one for n, one in enumerate(lines, 1)
        ]
        return {
            "customer": self.customer,
            "channel": self.channel,
            "store": self.store,
            "receipt": {
                "number": number or f"s-{next(_numbers)}",
                "occurred_at": self.clock.now.isoformat(),
                "lines": made,
            },
            **more,
        }

    async def post(self, path: str, body: Any, *, key: str = "", role: Role = "admin") -> Any:
        client = await self.client(role)
        headers = {"idempotency-key": key or f"key-{next(_numbers)}"}
        return await client.post(path, json=body, headers=headers)

    async def sell(self, *lines: Any, points: str | None = None, **more: Any) -> Any:
        if points is not None:
            more["redeem"] = {"points": points}
        return done(await self.post("/v1/receipts", self.sale(*lines, **more)))

    def back(
        self, receipt: str, lines: dict[int, str] | None = None, **more: Any
    ) -> dict[str, Any]:
        """A return of `lines` of a receipt (number → quantity), or of all that is left."""
        body: dict[str, Any] = {
            "channel": self.channel,
            "store": self.store,
            "number": f"r-{next(_numbers)}",
            "occurred_at": self.clock.now.isoformat(),
            "receipt_number": receipt,
            **more,
        }
        if lines is not None:
            body["lines"] = [{"line": n, "quantity": q} for n, q in lines.items()]
        return body

    async def take_back(self, sale: Any, lines: dict[int, str] | None = None, **more: Any) -> Any:
        body = self.back(sale["receipt_number"], lines, **more)
        return done(await self.post("/v1/returns", body))

    async def refused(self, sale: Any, lines: dict[int, str] | None = None, **more: Any) -> Any:
        body = self.back(sale["receipt_number"], lines, **more)
        return await self.post("/v1/returns", body)

    async def give(self, points: str, **more: Any) -> Any:
        body = {"customer": self.customer, "points": points, "reason": "a gift", **more}
        return done(await self.post("/v1/adjustments", body))

    async def get(self, path: str) -> Any:
        return done(await (await self.client("admin")).get(path))

    async def balance(self) -> Any:
        return await self.get(f"/v1/customers/{self.customer_id}/balance")

    async def available(self) -> str:
        return str((await self.balance())["available"])

    async def lots(self) -> list[Any]:
        """Oldest first."""
        found = await self.get(f"/v1/customers/{self.customer_id}/lots?limit=500")
        return sorted(found["items"], key=lambda lot: lot["id"])

    async def counters(self) -> dict[str, int]:
        """All counters that are not zero, of this shop's programs, of all customers together."""
        rows = await self.services.database.fetch(
            "SELECT name, sum(value)::bigint AS value FROM billing.counters"
            " WHERE split_part(name, '/', 2) LIKE $1 GROUP BY name",
            f"%-{self.number}",
        )
        return {row["name"]: row["value"] for row in rows if row["value"]}


def done(answer: httpx.Response) -> Any:
    assert answer.is_success, answer.text
    return answer.json()


def problem(answer: httpx.Response, status: int, code: str) -> dict[str, Any]:
    document: dict[str, Any] = answer.json()
    assert (answer.status_code, document["code"]) == (status, code), answer.text
    return document


def pointers(answer: httpx.Response) -> list[str]:
    return [error["pointer"] for error in problem(answer, 400, "validation_failed")["errors"]]


@asynccontextmanager
async def opened(settings: Settings) -> AsyncIterator[Counter]:
    clock = Clock()
    services = build_services(settings, clock)
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
    async with services.running(), AsyncExitStack() as stack:
        yield await Counter(clock, services, app, stack).open()
