"""A till of a shop with one customer and programs of its own."""

from __future__ import annotations

from datetime import UTC, datetime
from decimal import Decimal
from typing import Any

import httpx

from tests.acceptance.shop import Shop, done, fresh_key

SINCE = "2020-01-01T00:00:00+03:00"


class Till:
    """A till of a shop with one customer and one percent program of its own."""

    def __init__(self, shop: Shop) -> None:
        self.shop = shop

    async def earns(self, percent: str, base: str = "net_of_points", **more: Any) -> Till:
        """Publish a percent program of this channel alone."""
        await self.publishes(reward={"kind": "percent", "value": percent}, base=base, **more)
        return self

    async def publishes(self, **definition: Any) -> str:
        """Publish a program of this channel alone, since long ago; its code."""
        client, code = self.shop.client, f"program-{self.shop.number}-{fresh_key()}"
        program = {
            "code": code,
            "name": "a program",
            "valid_from": SINCE,
            "scope": {"channels": [self.shop.channel]},
            **definition,
        }
        done(await client.post("/v1/programs", json=program))
        done(await client.post(f"/v1/programs/{code}/publish", json={"from": SINCE}))
        return code

    async def quote(self, *amounts: str, redeem: str | None = None, **other: Any) -> Any:
        body = self.basket(*amounts, **other) | ({"redeem": redeem} if redeem else {})
        return body, done(await self.shop.client.post("/v1/quotes", json=body))

    def basket(self, *amounts: str, points: str | None = None, **other: Any) -> dict[str, Any]:
        lines = [self.shop.line(amount, line=n) for n, amount in enumerate(amounts, 1)]
        sale = self.shop.sale(*lines, **other)
        sale["receipt"]["occurred_at"] = datetime.now(UTC).isoformat()
        return sale if points is None else sale | {"redeem": {"points": points}}

    async def sell(self, *amounts: str, points: str | None = None) -> Any:
        return done(await self.shop.post("/v1/receipts", self.basket(*amounts, points=points)))

    async def take_back(self, sale: Any) -> Any:
        """Return the whole sale."""
        back = {
            "channel": self.shop.channel,
            "store": self.shop.store,
            "number": f"back-{sale['receipt_number']}",
            "occurred_at": datetime.now(UTC).isoformat(),
            "receipt_number": sale["receipt_number"],
        }
        return done(await self.shop.post("/v1/returns", back))

    async def adjust(self, points: str) -> Any:
        body = {"customer": {"phone": self.shop.phone}, "points": points, "reason": "by hand"}
        return done(await self.shop.post("/v1/adjustments", body))

    async def redeem(self, points: str, *amounts: str) -> httpx.Response:
        body = self.basket(*amounts) | {"points": points, "mode": "capture"}
        return await self.shop.post("/v1/redemptions", body)

    async def balance(self) -> str:
        return str((await self.read("balance"))["available"])

    async def statement(self) -> list[str]:
        """Points of each transaction, oldest first."""
        return [item["points"] for item in (await self.read("statement"))["items"][::-1]]

    async def read(self, what: str) -> Any:
        client = self.shop.client
        found = done(await client.get("/v1/customers", params={"phone": self.shop.phone}))
        return done(await client.get(f"/v1/customers/{found['items'][0]['id']}/{what}"))


def accrued(sale: Any) -> str:
    return f"{sum(Decimal(accrual['points']) for accrual in sale['accruals']):.2f}"
