"""Nothing that a provider said is lost while the database is away, and nobody locks the other out
(DESIGN 6)."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

import asyncpg
import pytest

from billing.common.db import Database
from billing.common.errors import Overloaded
from billing.messages import statuses
from billing.messages.statuses import Said
from integrations.sms import sender as sending
from integrations.sms.sender import Sender
from tests.conftest import TestDatabase
from tests.integrations.sms.house import House
from tests.integrations.sms.peers import Peer


class Failing(Database):
    """A database that is away for some transactions after the first."""

    away = 0
    seen = 0

    @asynccontextmanager
    async def transaction(self, *, timeout_s: float | None = None) -> AsyncIterator[Any]:
        self.seen += 1
        if 1 < self.seen <= 1 + self.away:
            raise Overloaded("The database does not answer; repeat the request shortly.")
        async with super().transaction(timeout_s=timeout_s) as tx:
            yield tx


@pytest.fixture
async def failing(shared_database: TestDatabase) -> AsyncIterator[Failing]:
    made = Failing(shared_database.url, size=2)
    yield made
    await made.close()


def sender(house: House, database: Database) -> Sender:
    return Sender(database, house.fleet, house.vault, house.willing, clock=house.clock)


async def test_what_came_back_is_written_when_the_database_is_there_again(
    house: House, smsru: Peer, failing: Failing, monkeypatch: pytest.MonkeyPatch
) -> None:
    """SMS.ru knows a message by its own id alone: unwritten, nobody could ask for it."""
    monkeypatch.setattr(sending, "LOOK_EVERY_S", 0.01)
    await house.add(smsru)
    smsru.faults = [None, [207]]
    messages = [await house.enqueue(), await house.enqueue()]
    failing.away = 3
    await sender(house, failing).run(linger=False)
    assert failing.seen > 4
    tried = [(await house.history(one))[0] for one in messages]
    assert sorted((one.outcome, one.provider_message_id) for one in tried) == [
        ("accepted", smsru.sms[0].id), ("rejected", None),
    ]  # fmt: skip
    assert len(smsru.sms) == 1


async def test_what_could_not_be_written_is_unknown_and_asked_about(
    house: House, smsc: Peer, failing: Failing, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(sending, "LOOK_EVERY_S", 0.01)
    monkeypatch.setattr(sending, "KEPT_S", 0.05)
    await house.add(smsc)
    message = await house.enqueue()
    failing.away = 10**6
    with pytest.raises(Overloaded):
        await sender(house, failing).run(linger=False)
    await house.database.fetch("UPDATE billing.messages SET leased_until = '-infinity'")
    await house.send()
    assert (await house.get(message)).status == "unknown"
    await house.later(seconds=1)
    assert (await house.get(message)).status == "sent"
    assert len(smsc.sms) == 1


async def test_one_outcome_that_cannot_be_written_takes_no_other_with_it(
    house: House, gateway: Peer
) -> None:
    """A provider's id that no text column takes: that message alone is unknown."""
    await house.add(gateway, rate_per_minute=600_000)
    await house.enqueue(text="first")
    await house.enqueue(text="second")
    gateway.ids = iter(["\0", 2])  # type: ignore[list-item]
    await house.send()
    query = "SELECT status FROM billing.messages ORDER BY status"
    states = await house.database.fetch(query)
    assert [row["status"] for row in states] == ["accepted", "queued"]
    await house.database.fetch(
        "UPDATE billing.messages SET leased_until = '-infinity' WHERE status = 'queued'"
    )
    await house.send()
    states = await house.database.fetch(query)
    assert [row["status"] for row in states] == ["accepted", "unknown"]
    assert len(gateway.sms) == 2


async def _reported(house: House, attempt: Any, message: Any) -> None:
    async with house.database.transaction() as tx:
        await statuses.apply(
            tx,
            provider="smsc",
            attempt=attempt,
            message=message,
            said=Said(provider_message_id="1", status="delivered"),
            now=house.clock(),
            ask_at=None,
        )


async def _forgotten(house: House, attempt: Any, message: Any) -> None:
    async with house.database.transaction() as tx:
        await house.messages.forget_customer(tx, message)


@pytest.mark.parametrize("work", [_reported, _forgotten])
async def test_a_message_is_locked_before_its_attempt_whoever_does(
    house: House, smsc: Peer, shared_database: TestDatabase, work: Any
) -> None:
    """Else a report that comes while the sender writes would wait for it, and it for the report."""
    await house.add(smsc)
    message = await house.enqueue()
    await house.send()
    owner = await asyncpg.connect(shared_database.owner_url)
    await owner.execute("UPDATE billing.messages SET customer_id = id")
    attempt = await owner.fetchval("SELECT attempt_id FROM billing.messages")
    async with owner.transaction():
        await owner.execute("SELECT FROM billing.messages FOR NO KEY UPDATE")
        waiting = asyncio.create_task(work(house, attempt, message))
        await _blocked(house, owner)
        await owner.execute("SET LOCAL lock_timeout = '1s'")
        await owner.execute("UPDATE billing.message_attempts SET detail = 'mine'")
    await waiting
    await owner.close()


async def _blocked(house: House, by: Any) -> None:
    """Until somebody waits for the connection."""
    pid = await by.fetchval("SELECT pg_backend_pid()")
    query = "SELECT count(*) FROM pg_stat_activity WHERE $1 = ANY(pg_blocking_pids(pid))"
    async with asyncio.timeout(10):
        while not (await house.database.fetch(query, pid))[0][0]:  # noqa: ASYNC110
            await asyncio.sleep(0.01)


async def test_what_providers_say_is_kept_without_the_phone(
    house: House, gateway: Peer, smsru: Peer, shared_database: TestDatabase
) -> None:
    """In attempts, messages, errors of providers and results of webhooks."""
    await house.add(gateway, priority=1)
    gateway.faults = ["no route to +7 (999) 000-00-01, 79990000001"]
    message = (await house.sent()).id
    (attempt,) = await house.history(message)
    assert "*******0001" in (attempt.detail or "")
    row, errors = await house.providers.get("http")
    assert "0001" in (row.last_error or "")
    assert len(errors) == 1
    owner = await asyncpg.connect(shared_database.owner_url)
    for table in ("messages", "message_attempts", "sms_providers", "sms_webhooks"):
        for kept in await owner.fetch(f"SELECT t::text AS row FROM billing.{table} t"):
            for trace in ("9990000001", "000-00-01"):
                assert trace not in kept["row"]
    await owner.close()


async def test_what_is_old_is_dropped_however_much_it_is(
    house: House, shared_database: TestDatabase
) -> None:
    """Each thousand in a transaction of its own, and no more once it is told to stop."""
    owner = await asyncpg.connect(shared_database.owner_url)
    await owner.execute(
        """
        INSERT INTO billing.messages (id, phone_hash, phone_masked, purpose, language, urgency,
            status, status_at, created_at, not_before, next_at, expires_at, segments, finished_at,
            phone_encrypted)
        SELECT uuidv7(), '', '', 'notice', 'ru', 2, 'failed', past, past, past, past, past, 1,
            past, CASE WHEN n > 2500 THEN 'x'::bytea END
        FROM generate_series(1, 5000) AS n,
             LATERAL (SELECT $1::timestamptz - make_interval(days =>
                      CASE WHEN n > 2500 THEN 40 ELSE 400 END) AS past) AS t
        """,
        house.clock(),
    )
    count = "SELECT ARRAY[count(*), count(phone_encrypted)] FROM billing.messages"
    steps = iter([True, True, False])
    await house.forget(lambda: next(steps, False))
    assert await owner.fetchval(count) == [3000, 2500]
    await house.forget(lambda: True)
    assert await owner.fetchval(count) == [2500, 0]
    await owner.close()
