"""Whatever dies while workers work: every due thing is done once, and nothing twice (DESIGN 6).

`make soak` runs the long form, for SOAK_MINUTES (10).
"""

from __future__ import annotations

import asyncio
import math
import os
import time
from collections import Counter
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack
from datetime import datetime, timedelta
from pathlib import Path
from random import Random
from typing import Any, TypeAlias
from uuid import UUID
from zoneinfo import ZoneInfo

import asyncpg
import httpx
import pytest

from billing.campaigns.beginning import begin
from billing.common.settings import Settings
from ledger.commands import Accrue, Command, Grant
from ledger.errors import Refusal
from ledger.group import Result
from ledger.ids import uuid7
from ledger.service import Ledger
from tests.billing.scenarios.house import opened as opened_chain
from tests.conftest import TestDatabase
from tests.integrations.webhooks.receiver import Message, Receiver, listening
from tests.soak.conftest import opened
from tests.soak.fleet import Journal, Till
from tests.soak.night import DAY, HOUR, TROUBLES, Clock, Night, Subscriber, Trouble
from tests.soak.test_faults import posted, prove

Superuser: TypeAlias = "asyncpg.Connection[Any]"
TILLS = 3
CROWD, FEW = 1100, 10
PLANNED = 15
"""Customers who get lots after each trouble, which live for up to fifteen days."""
PATIENCE_S = 90
"""For as long nothing may get less of what waits."""
MOSCOW = ZoneInfo("Europe/Moscow")
SETTINGS = {
    "BONUS_CAMPAIGN_CATCH_UP_DAYS": "365",
    "BONUS_WEBHOOK_ALLOW_HTTP": "yes",
    "BONUS_WEBHOOK_ALLOWED_HOSTS": "127.0.0.1",
    "BONUS_API_PROCESSES": "1",
}

_CUSTOMERS = """
INSERT INTO billing.customers
    (id, status, phone_masked, created_at, updated_at, verified_at, tags)
SELECT id, 'verified', '+7******0000', $2, $2, $2, $3 FROM unnest($1::uuid[]) AS id
"""
_BY_TIME = """
SELECT p.customer_id, p.kind, p.occurred_at, p.amount FROM ledger.postings p
WHERE p.program = 'plan' AND p.kind IN ('accrue', 'activate', 'expire')
"""
_GIFTS = """
SELECT r.code, r.scheduled_at, s.customer_id FROM ledger.sources s
JOIN billing.campaign_runs r ON r.id::text = split_part(s.source, '/', 3)
WHERE s.source LIKE 'campaign/%'
"""
_GIVEN_TWICE = """
SELECT count(*) FROM (
    SELECT FROM ledger.postings WHERE debit = 'issued' AND program LIKE 'campaign:%'
    GROUP BY customer_id, program, lot_id HAVING count(*) > 1) AS twice
"""
_LATE = "SELECT count(*) FROM ledger.balances WHERE next_due <= $1"
_UNSENT = "SELECT count(*) FROM billing.webhook_deliveries WHERE state <> 'delivered'"
_UNFINISHED = """
SELECT count(*) FROM billing.campaigns
WHERE state <> 'finished' AND (state <> 'scheduled' OR next_run_at <= $1)
"""
_TOLD_TWICE = """
SELECT count(*) FROM (
    SELECT FROM billing.webhook_deliveries GROUP BY subscription_id, event_id
    HAVING count(*) > 1) AS twice
"""
_TRANSACTIONS = """
SELECT DISTINCT t.id::text FROM ledger.transactions t
JOIN ledger.postings p ON p.customer_id = t.customer_id AND p.version = t.version
"""
_FREE = "UPDATE billing.webhook_queues SET leased_until = '-infinity'"


@pytest.fixture
async def receiver() -> AsyncIterator[Receiver]:
    async with listening() as made:
        yield made


@pytest.fixture
async def night(folder: Path) -> AsyncIterator[Night]:
    clock = Clock(folder / "clock")
    clock.jump(2 * HOUR)
    async with opened(folder, **SETTINGS, **clock.environ()) as house:
        made = Night(house, folder, clock)
        try:
            yield made
        finally:
            made.end()


async def test_a_short_night(night: Night, receiver: Receiver) -> None:
    await storm(night, receiver, TROUBLES[:8], until=0.0)


@pytest.mark.soak
async def test_a_long_night(night: Night, receiver: Receiver) -> None:
    minutes = float(os.environ.get("SOAK_MINUTES", "10"))
    await storm(night, receiver, TROUBLES * 3, until=time.monotonic() + minutes * 60)


async def storm(night: Night, receiver: Receiver, troubles: list[Trouble], until: float) -> None:
    """Let everything go on while all `troubles` happen, and more until `until`; then bring time to
    the end of what is planned, and prove that it was done."""
    house, chance = night.house, Random(11)
    superuser = await asyncpg.connect(house.database)
    subscriber = receiver.answer = Subscriber(Random(12))
    journal, stop = Journal(), asyncio.Event()
    async with house.client() as client:
        plan = await Plan.make(night, superuser, client, receiver)
        await superuser.close()
        for name in ("worker", "worker", "scheduler", "scheduler"):
            night.start(name)
        async with AsyncExitStack() as stack:
            tills = [
                asyncio.create_task(
                    Till(f"night-{number}", len(house.customers), journal).work(
                        await stack.enter_async_context(house.client()), stop
                    )
                )
                for number in range(TILLS)
            ]
            done = 0
            while done < len(troubles) or time.monotonic() < until:
                await asyncio.sleep(chance.uniform(0.5, 2.5))
                trouble = troubles[done] if done < len(troubles) else chance.choice(TROUBLES)
                await trouble(night, chance)
                await house.serving.ready()
                await plan.post_some(night, chance)
                done += 1
            stop.set()
            async with asyncio.timeout(60):
                await asyncio.gather(*tills)
        subscriber.well = True
        await plan.come_to_its_end(night, client)
    print(
        f"\n{done} troubles, {len(journal.sent)} operations of tills, {len(plan.expected)} things"
        f" due by plan, {len(subscriber.accepted)} events accepted,"
        f" {night.clock.ahead_s / DAY:.0f} days"
    )
    assert not journal.surprises, house.serving.complaints()
    superuser = await asyncpg.connect(house.database)
    await prove_what_time_does(superuser, plan)
    await prove_campaigns(superuser, plan, night.clock())
    await prove_events(superuser, subscriber.accepted)
    await superuser.close()
    own = Counter({fact: n for fact, n in (await posted(house)).items() if _not_of_tills(fact)})
    await prove(house, journal, own)


class Plan:
    """What must happen, worked out beforehand, without looking at what does it."""

    def __init__(self, begin: datetime, crowd: list[UUID], few: list[UUID]) -> None:
        self.begin = begin
        self.crowd = crowd
        self.few = few
        self.expected: Counter[tuple[UUID, str, datetime, int]] = Counter()
        self._next = iter(crowd)

    @staticmethod
    async def make(
        night: Night, superuser: Superuser, client: httpx.AsyncClient, receiver: Receiver
    ) -> Plan:
        begin = night.clock().replace(microsecond=0)
        crowd, few = ([uuid7() for _ in range(number)] for number in (CROWD, FEW))
        await superuser.execute(_CUSTOMERS, crowd, begin, ["crowd"])
        await superuser.execute(_CUSTOMERS, few, begin, ["few"])
        hook = {"url": receiver.url, "events": ["*"]}
        _done(await client.post("/v1/webhook-subscriptions", json=hook))
        plan = Plan(begin, crowd, few)
        await plan.start_campaigns(superuser, client)
        return plan

    def _command(self, now: datetime, chance: Random) -> Command:
        customer = next(self._next, None) or uuid7()
        grants = []
        for _ in range(3):
            amount = chance.randint(1, 9999)
            active = max(now, now + timedelta(seconds=chance.randint(-86_400, 9 * 86_400)))
            ends = active + timedelta(seconds=chance.randint(60, 6 * 86_400))
            self.expected[customer, "accrue", now, amount] += 1
            if active > now:
                self.expected[customer, "activate", active, amount] += 1
            self.expected[customer, "expire", ends, amount] += 1
            grants.append(Grant("base", ((None, amount),), active, ends, "plan", 1))
        return Command(
            customer_id=customer, kind="accrual", occurred_at=now,
            steps=(Accrue(tuple(grants)),), source=f"plan/{customer}",
        )  # fmt: skip

    async def start_campaigns(self, superuser: Superuser, client: httpx.AsyncClient) -> None:
        """As submitted: what a preview and its approval need is proved elsewhere."""
        daily = {"rule": "FREQ=DAILY", "at": "09:00"}
        gifts: list[tuple[str, dict[str, Any]]] = [
            ("gift", {"audience": {"tag": "crowd"}, "points": "10.00"}),
            (
                "daily",
                {"audience": {"tag": "few"}, "points": "1.00", "recurrence": daily,
                 "expires": {"after": "P3D"}},
            ),
        ]  # fmt: skip
        for code, body in gifts:
            _done(await client.post("/v1/campaigns", json={"code": code, "name": code} | body))
        await superuser.execute(
            "UPDATE billing.campaigns SET state = 'scheduled', submitted_by = 'the test',"
            " next_run_at = CASE code WHEN 'gift' THEN $1::timestamptz ELSE $2 END",
            self.begin,
            self.runs(self.begin + timedelta(days=1))[0],
        )

    def runs(self, until: datetime) -> list[datetime]:
        """When the daily campaign runs: nine o'clock in Moscow, where clocks do not change."""
        at = self.begin.astimezone(MOSCOW).replace(hour=9, minute=0, second=0)
        found = []
        while at <= until:
            if at > self.begin:
                found.append(at)
            at += timedelta(days=1)
        return found

    async def post_some(self, night: Night, chance: Random) -> None:
        """Lots that fall due later. Who does not know whether they were posted tries again."""
        now = night.clock().replace(microsecond=0)
        batch = [self._command(now, chance) for _ in range(PLANNED)]
        async with Ledger(night.house.postgres.url, clock=night.clock) as ledger:
            async with asyncio.timeout(60):
                while batch:
                    fates = await ledger.execute_many(batch)
                    batch = [
                        one
                        for one, fate in zip(batch, fates, strict=True)
                        if not isinstance(fate, Result)
                        and not (isinstance(fate, Refusal) and fate.code == "source_exists")
                    ]

    async def come_to_its_end(self, night: Night, client: httpx.AsyncClient) -> None:
        """Let time pass until nothing is due or waits any more."""
        superuser = await asyncpg.connect(night.house.database)
        # What killed senders had is free again after a minute; here at once.
        await superuser.execute(_FREE)
        end = max(at for _, _, at, _ in self.expected)
        behind = (end + timedelta(days=1) - night.clock()).total_seconds()
        night.clock.jump(max(behind, 0.0))
        least, until = math.inf, 0.0
        while why := await what_waits(night.clock(), superuser, client):
            if (left := sum(why.values())) < least:
                least, until = left, time.monotonic() + PATIENCE_S
            if time.monotonic() > until:
                pytest.fail(f"{why}; {(await client.get('/v1/work')).text}")
            await asyncio.sleep(1)
            night.clock.jump(HOUR)
        await superuser.close()


async def what_waits(
    now: datetime, superuser: Superuser, client: httpx.AsyncClient
) -> dict[str, int]:
    """What is still to be done, by the tables and by what the service says of itself."""
    found = {
        "customers due": await superuser.fetchval(_LATE, now),
        "unfinished campaigns": await superuser.fetchval(_UNFINISHED, now),
        "unsent": await superuser.fetchval(_UNSENT),
    }
    for one in _done(await client.get("/v1/work"))["waiting"]:
        assert one["name"] not in found, "one would hide the other"
        found[one["name"]] = one["waiting"]
    return {name: number for name, number in found.items() if number}


async def prove_what_time_does(superuser: Superuser, plan: Plan) -> None:
    """Each lot was given, became available and expired at its instant, whole, once."""
    found = Counter(tuple(row) for row in await superuser.fetch(_BY_TIME))
    assert found - plan.expected == Counter(), "something happened that was not due"
    assert plan.expected - found == Counter(), "something due did not happen"


async def prove_campaigns(superuser: Superuser, plan: Plan, now: datetime) -> None:
    """Each customer of the audience got the gift of each run once."""
    daily = plan.runs(now)
    expected = Counter(("gift", plan.begin, one) for one in plan.crowd)
    expected.update(("daily", at, one) for at in daily for one in plan.few)
    found = Counter(tuple(row) for row in await superuser.fetch(_GIFTS))
    runs = await superuser.fetch("SELECT code, state, given, failed FROM billing.campaign_runs")
    assert found == expected, await superuser.fetch(
        "SELECT * FROM billing.campaign_runs ORDER BY scheduled_at DESC LIMIT 3"
    )
    assert await superuser.fetchval(_GIVEN_TWICE) == 0
    assert Counter(tuple(row) for row in runs) == Counter(
        {("gift", "finished", CROWD, 0): 1, ("daily", "finished", FEW, 0): len(daily)}
    )


async def prove_events(superuser: Superuser, accepted: list[Message]) -> None:
    """Every transaction was told, none was made up, each customer's in the order of the ledger."""
    assert await superuser.fetchval(_TOLD_TWICE) == 0
    first = {message.id: message.event for message in reversed(accepted)}
    told: dict[str, list[int]] = {}
    transactions, runs, notices = set(), Counter[str](), Counter[tuple[str, str]]()
    for event in (first[one] for one in dict.fromkeys(message.id for message in accepted)):
        data = event["data"]
        if "transaction_id" in data:
            transactions.add(data["transaction_id"])
            told.setdefault(data["customer_id"], []).append(data["version"])
        elif event["type"] == "campaign.finished":
            runs[data["run"]] += 1
        elif event["type"] == "points.expiring_soon":
            notices[data["customer_id"], data["on"]] += 1
    assert transactions == {row[0] for row in await superuser.fetch(_TRANSACTIONS)}
    assert all(versions == sorted(versions) for versions in told.values())
    ended = await superuser.fetch("SELECT id::text FROM billing.campaign_runs")
    assert runs == Counter(row[0] for row in ended)
    assert set(notices.values()) <= {1}


async def test_the_night_is_not_over_while_a_run_is_at_work(
    settings: Settings, database: TestDatabase
) -> None:
    """Between its beginning and its first gift a campaign is neither scheduled nor finished."""
    superuser = await asyncpg.connect(database.superuser_url)
    async with opened_chain(settings) as chain:
        client, services = await chain.client(), chain.services
        gift = {"code": "gift", "name": "A gift", "audience": {"tag": "vip"}, "points": "10.00"}
        _done(await client.post("/v1/campaigns", json=gift))
        assert await what_waits(chain.now, superuser, client) == {"unfinished campaigns": 1}
        await superuser.execute(
            "UPDATE billing.campaigns SET state = 'scheduled', next_run_at = $1", chain.now
        )
        waits = await what_waits(chain.now, superuser, client)
        assert waits == {"unfinished campaigns": 1, "campaigns": 1}
        await begin(services.database, "gift", chain.now, timedelta(days=7), services.zone)
        waits = await what_waits(chain.now, superuser, client)
        assert waits == {"unfinished campaigns": 1, "campaigns at work": 1}
    await superuser.close()


def _not_of_tills(fact: tuple[Any, ...]) -> bool:
    return str(fact[1]).startswith(("campaign/", "plan/"))


def _done(answer: httpx.Response) -> Any:
    assert answer.is_success, answer.text
    return answer.json()
