"""A chain with campaigns: written over HTTP, previewed and run as a worker does it."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import timedelta
from typing import Any
from uuid import UUID

import asyncpg
import httpx

from billing.campaigns.gifts import GiftMaker
from billing.campaigns.preview import KIND, Previewer
from billing.campaigns.runs import CampaignRunner
from billing.catalog.service import Catalog
from billing.common import deadline
from billing.common.auth import Role
from billing.common.money import format_amount
from billing.jobs.runner import JobRunner
from billing.programs.book import ProgramBook
from ledger.ids import uuid7
from tests.billing.scenarios.house import Chain

_NEW = """
INSERT INTO billing.customers
    (id, status, phone_masked, created_at, updated_at, verified_at, birth_date, tags)
SELECT n.id, $2::text, '+7******0000', $3::timestamptz, $3,
       CASE WHEN $2 <> 'unverified' THEN $3 END, $4, $5
FROM unnest($1::uuid[]) AS n (id)
"""
_POINTS = """
SELECT customer_id, count(*) AS times, sum(amount)::bigint AS points
FROM ledger.postings WHERE debit = 'issued' GROUP BY customer_id
"""


@dataclass
class Office:
    """`chain.now` is the time; nothing happens by itself."""

    chain: Chain
    superuser: asyncpg.Connection[Any]

    def runner(self, *, chunk: int = 1000, catch_up_days: int = 7) -> CampaignRunner:
        """As a worker has it: with time of its own, not the rest of the last request's."""
        deadline.start(600)
        services = self.chain.services
        return CampaignRunner(
            services.ledger, services.database, self._gifts(), zone=services.zone,
            catch_up=timedelta(days=catch_up_days), chunk=chunk,
        )  # fmt: skip

    def _gifts(self) -> GiftMaker:
        services = self.chain.services
        catalog = Catalog(services.database)
        book = ProgramBook(services.database, catalog)
        return GiftMaker(services.database, catalog, book, services.zone.key)

    async def run(self, **options: Any) -> int:
        return await self.runner(**options).run_all()

    async def customers(self, number: int, status: str = "verified", **more: Any) -> list[UUID]:
        """Customers as a registration leaves them, but for their persons."""
        ids = [uuid7() for _ in range(number)]
        born, tags = more.get("birth_date"), more.get("tags", [])
        await self.superuser.execute(_NEW, ids, status, self.chain.now, born, tags)
        return ids

    async def post(
        self, path: str, body: Any = None, *, role: Role = "marketer", **options: Any
    ) -> httpx.Response:
        client = await self.chain.client(role)
        return await client.post(f"/v1/campaigns{path}", json=body, **options)

    async def get(self, path: str, role: Role = "finance") -> dict[str, Any]:
        answer = await (await self.chain.client(role)).get(f"/v1/campaigns{path}")
        assert answer.status_code == 200, answer.text
        found: dict[str, Any] = answer.json()
        return found

    async def draft(self, code: str, *, role: Role = "marketer", **body: Any) -> str:
        """A draft that gives 10.00 points to customers with the tag `vip`."""
        plain = {"code": code, "name": "A gift", "audience": {"tag": "vip"}}
        if "program" not in body:
            plain["points"] = "10.00"
        answer = await self.post("", plain | body, role=role)
        assert answer.status_code == 201, answer.text
        return code

    async def preview(self, code: str, role: Role = "marketer") -> dict[str, Any]:
        asked = await self.post(f"/{code}/preview", role=role)
        assert asked.status_code == 202, asked.text
        services = self.chain.services
        work = Previewer(services.database, self._gifts(), lambda: self.chain.now, services.zone)
        await JobRunner(services.database, {KIND: work.run}).run_all()
        told = await self.get(f"/{code}")
        assert told["preview"]["state"] == "done", told
        result: dict[str, Any] = told["preview"]["result"]
        return result

    async def act(self, code: str, action: str, role: Role = "marketer") -> str:
        """The state the campaign is in after an action."""
        answer = await self.post(f"/{code}/{action}", role=role)
        assert answer.status_code == 200, answer.text
        return str(answer.json()["state"])

    async def started(self, code: str, **body: Any) -> str:
        """A campaign that has been let run."""
        await self.draft(code, **body)
        await self.preview(code)
        if await self.act(code, "submit") == "waiting_approval":
            await self.act(code, "approve", "finance")
        return code

    async def state(self, code: str) -> str:
        return str((await self.get(f"/{code}"))["state"])

    async def runs(self, code: str) -> list[dict[str, Any]]:
        """The oldest first."""
        return list(reversed((await self.get(f"/{code}/runs"))["items"]))

    async def given(self) -> dict[UUID, tuple[int, str]]:
        """What customers got: how many times, how much."""
        return {
            row["customer_id"]: (row["times"], format_amount(row["points"]))
            for row in await self.superuser.fetch(_POINTS)
        }

    async def once(self, customers: Sequence[UUID], points: str) -> bool:
        """Whether these customers, and nobody else, got so much, once."""
        return await self.given() == dict.fromkeys(customers, (1, points))
