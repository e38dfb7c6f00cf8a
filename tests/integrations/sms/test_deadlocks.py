"""Whoever locks rows of a person locks them in one order: STOP, codes, reports, sending, merging
and erasure at once never wait for each other in a ring."""

from __future__ import annotations

import asyncio
import random
from collections.abc import Awaitable, Callable, Iterator
from functools import partial
from typing import Any

import asyncpg
import httpx

from billing.common.settings import Settings
from integrations.sms.running import SmsWork
from tests.billing.merges.test_merges import merge
from tests.billing.persons.test_persons import erase
from tests.conftest import TestDatabase
from tests.integrations.sms.test_whole_way import Way, way, worker

ROUNDS, PAIRS, AT_ONCE = 4, 2, 8
DEADLOCKS = "SELECT deadlocks FROM pg_stat_database WHERE datname = current_database()"
OTHERS = """
SELECT count(*) FROM pg_stat_activity
WHERE datname = current_database() AND backend_type = 'client backend'
  AND pid <> pg_backend_pid()
"""
LEFT = """
SELECT count(*) FROM billing.messages
WHERE customer_id IS NOT NULL AND num_nonnulls(phone_encrypted, text_encrypted) > 0
"""
"""Of who was erased. An answer to who writes afterwards is of no customer."""

Work = Callable[[], Awaitable[httpx.Response]]


async def test_stop_codes_reports_merges_and_erasure_at_once(
    settings: Settings, database: TestDatabase
) -> None:
    """Of the same persons, by the API and two workers. Nobody hears 503, either: a request that
    waits for another in a ring would."""
    chance = random.Random(5)
    async with asyncio.timeout(60), way(settings) as one:
        other = worker(one.house)
        for role in ("support", "pos", "admin"):
            await one.house.client(role)
        for _ in range(ROUNDS):
            works = [work for _ in range(PAIRS) for work in await of_a_pair(one)]
            chance.shuffle(works)
            rest = iter(works)
            asked = asyncio.gather(*(asking(rest) for _ in range(AT_ONCE)))
            carriers = [carrying(work, asked.done) for work in (one.work, other) for _ in range(2)]
            await asyncio.gather(asked, *carriers)
            codes = {answer.status_code for answers in asked.result() for answer in answers}
            assert codes <= {200, 201, 409, 429}, codes
            one.house.later(minutes=20)
            await carrying(other, asked.done)
        await other.close()
    superuser = await asyncpg.connect(database.superuser_url)
    async with asyncio.timeout(20):
        # What a session has counted is told when it ends.
        while await superuser.fetchval(OTHERS):  # noqa: ASYNC110
            await asyncio.sleep(0.01)
    assert await superuser.fetchval(DEADLOCKS) == 0
    assert await superuser.fetchval(LEFT) == 0
    await superuser.close()


async def asking(works: Iterator[Work]) -> list[httpx.Response]:
    """One of several who ask the API, each one thing after another."""
    return [await work() for work in works]


async def carrying(work: SmsWork, over: Callable[[], bool]) -> None:
    """A worker that sends, works on webhooks and asks, until it is over and nothing is left."""
    found = 1
    while found or not over():
        found = await work.sender.run(linger=False)
        found += await work.reports.step() + await work.inquirer.step()


async def of_a_pair(one: Way) -> list[Work]:
    """Two customers with codes on their way, of whom one will be merged into the other, and that
    one erased, while both write, are reported on, and are asked for more."""
    house, works = one.house, []
    pair = [await house.customer(), await house.customer()]
    for customer in pair:
        verification = (await house.started(customer["id"]))["id"]
        works += of_a_customer(one, customer, verification, await house.code(verification))
    await one.work.sender.run(linger=False)
    reports = [(sms.id, status) for sms in one.peer.sms[-2:] for status in ("sent", "delivered")]
    works += [partial(reported, one, *report) for report in reports]
    duplicate, survivor = (customer["id"] for customer in pair)
    works += [lambda: merge(house, duplicate, survivor)] * 3
    works += [lambda: erase(house, survivor)] * 2
    return works


async def reported(one: Way, sms: str, status: str) -> httpx.Response:
    return await one.twilio(MessageSid=sms, MessageStatus=status)


def of_a_customer(one: Way, customer: dict[str, Any], verification: str, code: str) -> list[Work]:
    house, phone = one.house, customer["phone"]

    def writes(words: str) -> Work:
        return lambda: one.twilio(MessageSid=f"{words}{phone}", From=phone, Body=words)

    async def agrees() -> httpx.Response:
        client = await house.client()
        body = {"kind": "messages", "action": "given"}
        return await client.post(f"/v1/customers/{customer['id']}/consents", json=body)

    return [
        writes("стоп"),
        writes(code),
        agrees,
        agrees,
        lambda: house.confirm(verification, code),
        lambda: house.resend(verification),
        lambda: house.start(customer["id"], "redemption"),
    ]
