"""A fleet of tills that never give up: every operation is sent until it is answered."""

from __future__ import annotations

import asyncio
from collections.abc import Iterator
from dataclasses import dataclass, field
from datetime import UTC, datetime
from random import Random
from typing import Any

import httpx

from tests.fair_time import fair_time

STORES = ("store-1", "store-2")
GROUP, SKU = "dairy", "milk"
COME_AGAIN = (429, 503)


def phone_of(number: int) -> str:
    return f"+7903{number:07d}"


@dataclass
class Sent:
    """One operation: what was asked under which key, and what was finally heard."""

    key: str
    path: str
    body: Any
    answer: httpx.Response | None = None

    @property
    def happened(self) -> bool:
        return self.answer is not None and self.answer.is_success

    @property
    def document(self) -> Any:
        assert self.answer is not None
        return self.answer.json()


@dataclass
class Journal:
    """All that was sent, and how those were told who were sent away."""

    sent: list[Sent] = field(default_factory=list)
    refusals_s: list[float] = field(default_factory=list)
    lost: int = 0
    surprises: list[str] = field(default_factory=list)


class Till:
    """Sends random operations one after the other, for any of the customers."""

    def __init__(self, name: str, customers: int, journal: Journal) -> None:
        self._name = name
        self._customers = customers
        self._journal = journal
        self._chance = Random(name)
        self._count = 0
        self._holds: list[str] = []

    async def work(self, client: httpx.AsyncClient, stop: asyncio.Event) -> None:
        while not stop.is_set():
            for path, body in self._next():
                await self._carry_out(client, path, body)

    def _next(self) -> Iterator[tuple[str, Any]]:
        chance = self._chance.random()
        if chance < 0.45:
            redeem = {"redeem": {"points": self._points(30)}} if self._chance.random() < 0.3 else {}
            yield "/v1/receipts", self._sale() | redeem
        elif chance < 0.6:
            yield "/v1/accruals", self._sale()
        elif chance < 0.7:
            yield "/v1/redemptions", self._sale() | {"points": "max"}
        elif chance < 0.85:
            seconds = self._chance.choice((1, 600))
            hold = {"points": self._points(20), "mode": "hold", "hold_seconds": seconds}
            yield "/v1/redemptions", self._sale() | hold
            if self._holds:
                yield self._end_of(self._holds.pop())
        else:
            sign = self._chance.choice("++-")
            yield (
                "/v1/adjustments",
                {
                    "customer": self._customer(),
                    "points": sign + self._points(40),
                    "reason": "soak",
                },
            )

    def _end_of(self, hold: str) -> tuple[str, Any]:
        chance = self._chance.random()
        if chance < 0.4:
            return f"/v1/redemptions/{hold}/capture", {}
        if chance < 0.7:
            return f"/v1/redemptions/{hold}/capture", {"points": "1.00"}
        return f"/v1/redemptions/{hold}/release", None

    def _sale(self) -> dict[str, Any]:
        self._count += 1
        amounts = [
            f"{self._chance.randint(1, 500)}.{self._chance.randint(0, 99):02d}" for _ in "ab"
        ]
        lines = [
            {"line": n, "sku": SKU, "quantity": "1", "price": amount, "amount": amount}
            for n, amount in enumerate(amounts, 1)
        ]
        receipt = {
            "number": f"{self._name}-{self._count}",
            "occurred_at": datetime.now(UTC).isoformat(),
            "lines": lines,
        }
        place = {"channel": "shop", "store": self._chance.choice(STORES)}
        return {"customer": self._customer(), **place, "receipt": receipt}

    def _customer(self) -> dict[str, str]:
        return {"phone": phone_of(self._chance.randrange(self._customers))}

    def _points(self, most: int) -> str:
        return f"{self._chance.randint(1, most)}.{self._chance.randint(0, 99):02d}"

    async def _carry_out(self, client: httpx.AsyncClient, path: str, body: Any) -> None:
        sent = Sent(f"{self._name}/{len(self._journal.sent)}", path, body)
        self._journal.sent.append(sent)
        while sent.answer is None:
            started = fair_time()
            try:
                answer = await post(client, sent)
            except httpx.TransportError:
                self._journal.lost += 1
                await asyncio.sleep(0.1)
                continue
            if answer.status_code not in COME_AGAIN:
                sent.answer = answer
                break
            self._journal.refusals_s.append(fair_time() - started)
            if not answer.headers.get("retry-after", "").isdigit():
                self._journal.surprises.append(f"{answer.status_code} without Retry-After")
            await asyncio.sleep(self._chance.uniform(0.2, 1))
        if sent.answer.status_code >= 500:
            self._journal.surprises.append(f"{path}: {sent.answer.text}")
        if sent.happened and isinstance(body, dict) and body.get("mode") == "hold":
            self._holds.append(sent.document["id"])


async def post(client: httpx.AsyncClient, sent: Sent) -> httpx.Response:
    headers = {"idempotency-key": sent.key}
    return await client.post(sent.path, json=sent.body, headers=headers)
