"""A shop with a customer, and what its answers must be."""

from __future__ import annotations

import itertools
from dataclasses import dataclass, field
from typing import Any

import httpx

_numbers = itertools.count(1)
OCCURRED = "2026-11-21T14:03:00+03:00"


@dataclass
class Shop:
    """A channel with a store, a product and a verified customer of its own."""

    client: httpx.AsyncClient
    number: int = field(default_factory=lambda: next(_numbers))

    @property
    def channel(self) -> str:
        return f"a-channel-{self.number}"

    @property
    def store(self) -> str:
        return f"a-store-{self.number}"

    @property
    def group(self) -> str:
        return f"a-group-{self.number}"

    @property
    def sku(self) -> str:
        return f"a-sku-{self.number}"

    @property
    def phone(self) -> str:
        return f"+7926{self.number:07d}"

    async def open(self) -> Shop:
        for path, body in (
            (f"/v1/channels/{self.channel}", {"name": "a channel"}),
            (f"/v1/stores/{self.store}", {"name": "a store", "channel": self.channel}),
            (f"/v1/product-groups/{self.group}", {"name": "a group"}),
            (f"/v1/products/{self.sku}", {"name": "a product", "group": self.group}),
        ):
            done(await self.client.put(path, json=body))
        new = {"phone": self.phone, "status": "verified"}
        done(await self.client.post("/v1/customers", json=new))
        return self

    def line(self, amount: str = "100.00", **other: Any) -> dict[str, Any]:
        line = {"line": 1, "sku": self.sku, "quantity": "1", "price": amount, "amount": amount}
        return line | other

    def sale(self, *lines: dict[str, Any], **other: Any) -> dict[str, Any]:
        """A sale nobody has posted yet."""
        receipt = {
            "number": f"n-{next(_numbers)}",
            "occurred_at": OCCURRED,
            "lines": list(lines) or [self.line()],
        }
        place = {"channel": self.channel, "store": self.store}
        return {"customer": {"phone": self.phone}, **place, "receipt": receipt} | other

    async def post(
        self, path: str, body: Any, *, client: httpx.AsyncClient | None = None, key: str = ""
    ) -> httpx.Response:
        headers = {"idempotency-key": key or fresh_key()}
        return await (client or self.client).post(path, json=body, headers=headers)

    async def give(self, points: str) -> None:
        """Points by hand, available at once."""
        body = {"customer": {"phone": self.phone}, "points": points, "reason": "a gift"}
        done(await self.post("/v1/adjustments", body))


def done(answer: httpx.Response) -> Any:
    assert answer.is_success, answer.text
    return answer.json()


def fresh_key() -> str:
    return f"acceptance-{next(_numbers)}"


def problem(answer: httpx.Response, status: int, code: str) -> dict[str, Any]:
    """The problem document of a refusal that is as it should be."""
    assert answer.headers["content-type"] == "application/problem+json", answer.text
    document: dict[str, Any] = answer.json()
    assert (answer.status_code, document["code"]) == (status, code), answer.text
    assert document["status"] == status
    assert document["detail"]
    return document
