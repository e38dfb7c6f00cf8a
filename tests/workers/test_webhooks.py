"""Events reach subscribers through real processes, whatever is killed (DESIGN 6)."""

from __future__ import annotations

import asyncio
import signal
import statistics
import time
from collections import defaultdict
from collections.abc import AsyncIterator
from uuid import UUID

import asyncpg
import pytest
import redis

from billing.common.db import Database
from billing.common.settings import Settings
from integrations.webhooks.guard import Guard
from integrations.webhooks.schemas import SubscriptionIn
from integrations.webhooks.service import Webhooks
from integrations.webhooks.signing import Seals
from ledger.commands import Accrue, Command, Grant
from ledger.ids import uuid7
from ledger.service import Ledger, utc_now
from tests.integrations.webhooks.receiver import OK, Message, Receiver, listening
from tests.workers.conftest import Start

OPEN = {"BONUS_WEBHOOK_ALLOW_HTTP": "yes", "BONUS_WEBHOOK_ALLOWED_HOSTS": "127.0.0.1"}


@pytest.fixture
async def receiver(settings: Settings) -> AsyncIterator[Receiver]:
    """Subscribed to everything."""
    database = Database(settings.database_url, size=2)
    guard = Guard(plain=True, hosts=frozenset(("127.0.0.1",)))
    async with listening() as made:
        webhooks = Webhooks(database, Seals(settings.secret_key), guard)
        await webhooks.subscribe(SubscriptionIn(url=made.url, events=["points.*"]))
        yield made
    await database.close()


@pytest.fixture
async def till(settings: Settings) -> AsyncIterator[Ledger]:
    async with Ledger(settings.database_url) as ledger:
        yield ledger


def accrual(customer: UUID) -> Command:
    steps = (Accrue((Grant("base", ((None, 100),)),)),)
    return Command(customer_id=customer, kind="accrual", occurred_at=utc_now(), steps=steps)


async def ready(receiver: Receiver, till: Ledger) -> None:
    """Until events come through: the first worker begins the stream where it finds it."""
    while not receiver.messages:
        await till.execute(accrual(uuid7()))
        await asyncio.sleep(0.3)


async def test_an_event_leaves_within_a_second_while_idle(
    start: Start, receiver: Receiver, till: Ledger
) -> None:
    start("worker", **OPEN)
    start("scheduler")
    await ready(receiver, till)
    delays = []
    for _ in range(15):
        await asyncio.sleep(0.4)
        known = len(receiver.messages)
        customer = uuid7()
        await till.execute(accrual(customer))
        began = time.monotonic()
        while not any(m.customer == str(customer) for m in receiver.messages[known:]):
            await receiver.has(len(receiver.messages) + 1)
        delays.append(time.monotonic() - began)
    assert statistics.median(delays) < 1.0, delays


async def test_killed_again_and_again_each_event_arrives_in_order(
    start: Start, receiver: Receiver, till: Ledger, settings: Settings
) -> None:
    async def slow(message: Message, writer: asyncio.StreamWriter) -> None:
        await asyncio.sleep(0.02)
        await OK(message, writer)

    receiver.answer = slow
    start("scheduler")
    worker = start("worker", **OPEN)
    await ready(receiver, till)
    customers = [uuid7() for _ in range(20)]
    owner = await asyncpg.connect(settings.owner_database_url)
    for _ in range(3):
        for _ in range(4):
            await till.execute_many([accrual(one) for one in customers])
        await receiver.has(len(receiver.messages) + 10)
        worker.send(signal.SIGKILL)
        redis.Redis.from_url(settings.redis_url).flushall()
        # What a killed sender had is free again after a minute; here at once.
        await owner.execute("UPDATE billing.webhook_queues SET leased_until = '-infinity'")
        worker = start("worker", **OPEN)
    await owner.close()
    seen: defaultdict[str, list[int]] = defaultdict(list)
    async with asyncio.timeout(100):
        while not all(len(set(seen[str(one)])) == 12 for one in customers):
            await asyncio.sleep(0.2)
            seen.clear()
            for message in receiver.messages:
                seen[message.customer].append(message.event["data"]["version"])
    for one in customers:
        assert seen[str(one)] == sorted(seen[str(one)])
