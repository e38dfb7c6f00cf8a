"""A chain with posted receipts, and simulations over them; a worker's runner does the jobs."""

from __future__ import annotations

import itertools
from collections.abc import AsyncIterator
from dataclasses import dataclass, field
from typing import Any

import httpx
import pytest

from billing.common.db import Database
from billing.common.settings import Settings
from billing.jobs.runner import JobRunner
from billing.simulations.model import SIMULATION
from billing.simulations.simulator import Simulator
from ledger.service import Ledger

_numbers = itertools.count(1)
SINCE, UNTIL = "2026-03-01T00:00:00Z", "2026-04-01T00:00:00Z"


@dataclass
class Chain:
    """A channel of its own with two stores and two product groups; `house` is a store group."""

    client: httpx.AsyncClient
    runner: JobRunner
    number: int = field(default_factory=lambda: next(_numbers))
    phones: dict[str, str] = field(default_factory=dict)

    def code(self, name: str) -> str:
        return f"sim-{self.number}-{name}"

    async def open(self) -> Chain:
        await self.put("channels", self.code("web"), {"name": "Web"})
        for store in ("north", "south"):
            shop = {"name": store, "channel": self.code("web"), "group": self.code("house")}
            await self.put("stores", self.code(store), shop)
        for group in ("food", "toys"):
            await self.put("product-groups", self.code(group), {"name": group})
        return self

    async def put(self, kind: str, code: str, body: Any) -> None:
        done(await self.client.put(f"/v1/{kind}/{code}", json=body))

    async def draft(self, name: str, **definition: Any) -> str:
        """A program of this chain with its first draft: 10 %, if not said otherwise."""
        body = {
            "code": self.code(name),
            "name": name,
            "valid_from": "2026-01-01T00:00:00Z",
            "scope": {"channels": [self.code("web")]},
            "reward": {"kind": "percent", "value": "10"},
            "stacking": {"group": self.code("main")},
        }
        done(await self.client.post("/v1/programs", json=body | definition))
        return self.code(name)

    async def version(self, name: str, **definition: Any) -> None:
        read = await self.client.get(f"/v1/programs/{self.code(name)}/versions/1")
        body = done(read)["definition"] | definition
        done(await self.client.post(f"/v1/programs/{self.code(name)}/versions", json=body))

    async def publish(self, name: str) -> None:
        since = {"from": "2026-01-01T00:00:00Z"}
        done(await self.client.post(f"/v1/programs/{self.code(name)}/publish", json=since))

    async def sell(
        self, who: str, amount: str, group: str = "food", *, at: str = "2026-03-10T12:00:00Z",
        store: str | None = "north", **other: Any,
    ) -> dict[str, Any]:  # fmt: skip
        """A posted sale of one line, to a customer known by name."""
        if who not in self.phones:
            self.phones[who] = f"+7919{next(_numbers):07d}"
            new = {"phone": self.phones[who], "status": "verified"}
            done(await self.client.post("/v1/customers", json=new))
        number = str(next(_numbers))
        line = {"line": 1, "sku": "x", "group": self.code(group), "quantity": "1"}
        body = {
            "customer": {"phone": self.phones[who]},
            "channel": self.code("web"),
            "store": store and self.code(store),
            "receipt": {
                "number": number,
                "occurred_at": at,
                "lines": [line | {"price": amount, "amount": amount}],
            },
        }
        key = {"idempotency-key": f"{self.code('sale')}-{number}"}
        kind = "accruals" if "stated" in other else "receipts"
        sold = done(await self.client.post(f"/v1/{kind}", json=body | other, headers=key))
        return {**sold, "number": number}

    async def ask(self, name: str, **body: Any) -> httpx.Response:
        asked = {"from": SINCE, "to": UNTIL, "channel": self.code("web")} | body
        return await self.client.post(f"/v1/programs/{self.code(name)}/simulate", json=asked)

    async def simulate(self, name: str, **body: Any) -> Any:
        """The result of a simulation over March."""
        queued = done(await self.ask(name, **body))
        await self.runner.run_all()
        job = done(await self.client.get(f"/v1/jobs/{queued['job_id']}"))
        assert job["state"] == "done", job
        assert job["progress"] == job["total"] == job["result"]["receipts"]
        return job["result"]


def done(answer: httpx.Response) -> Any:
    assert answer.is_success, answer.text
    return answer.json()


def three(draft: str, actual: str, difference: str) -> dict[str, str]:
    return {"draft": draft, "actual": actual, "difference": difference}


@pytest.fixture
async def runner(shared_settings: Settings) -> AsyncIterator[JobRunner]:
    database = Database(shared_settings.database_url, size=2)
    async with Ledger(shared_settings.database_url) as ledger:
        simulator = Simulator(database, ledger.report_pool, shared_settings.timezone.key)
        yield JobRunner(database, {SIMULATION: simulator.run}, beat_s=0.05)
    await database.close()


@pytest.fixture
async def chain(admin: httpx.AsyncClient, runner: JobRunner) -> Chain:
    return await Chain(admin, runner).open()
