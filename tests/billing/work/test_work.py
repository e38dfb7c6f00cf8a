"""What operators see: lags, what waits for a person, runs of actors, and gauges."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import Any, cast

import asyncpg
import pytest
import redis
from dramatiq import Message
from dramatiq.brokers.redis import RedisBroker

from billing.campaigns.beginning import begin
from billing.common.settings import Settings
from billing.work import store
from billing.work.model import Process, Role
from billing.work.store import RunRow
from ledger.ids import uuid7
from tests.billing.scenarios.house import START, Chain
from workers.redis import NAMESPACE
from workers.schedule import EVERY_S

MINUTE = timedelta(minutes=1)
DAY = timedelta(days=1)


async def work(chain: Chain) -> dict[str, Any]:
    answer = await (await chain.client("support")).get("/v1/work")
    assert answer.status_code == 200, answer.text
    return cast(dict[str, Any], answer.json())


async def seen(chain: Chain, role: Role, leads_since: datetime | None = None) -> None:
    process = Process(uuid7(), role, "here", 1, chain.now, chain.now, leads_since)
    await store.see(chain.services.database, process)


async def ran(
    chain: Chain, name: str, outcome: str | None = "done", handled: int = 0, ago: timedelta = MINUTE
) -> RunRow:
    at = chain.now - ago
    run = RunRow(id=uuid7(), name=name, started_at=at, outcome=outcome, handled=handled)
    run.finished_at = at if outcome else None
    run.error = "ZeroDivisionError()" if outcome == "failed" else None
    await store.save(chain.services.database, run, at)
    return run


def of(found: dict[str, Any], section: str, name: str) -> dict[str, Any]:
    key = "actor" if section == "actors" else "name"
    (one,) = [one for one in found[section] if one[key] == name]
    return cast(dict[str, Any], one)


async def test_a_quiet_house_has_no_problems(chain: Chain) -> None:
    await seen(chain, "worker")
    await seen(chain, "scheduler", leads_since=chain.now)
    await seen(chain, "scheduler")
    for name in EVERY_S:
        await ran(chain, name)
    found = await work(chain)
    assert found["problems"] == []
    assert [(one["waiting"], one["late"]) for one in found["waiting"]] == [
        (0, False) for _ in found["waiting"]
    ]
    assert sorted(one["role"] for one in found["processes"]) == ["scheduler", "scheduler", "worker"]
    chain.now += 2 * MINUTE
    assert len((await work(chain))["problems"]) == 2, "nobody was seen for a minute"


async def test_what_is_due_is_late_after_five_minutes(chain: Chain) -> None:
    await chain.scenario("registration", available={"at": (START + DAY).isoformat()})
    await chain.customer(channel="shop")
    due = START + DAY
    chain.now = due + 4 * MINUTE
    one = of(await work(chain), "waiting", "due")
    assert (one["waiting"], one["oldest_age_s"], one["late"]) == (1, 240.0, False)
    chain.now = due + 6 * MINUTE
    found = await work(chain)
    assert of(found, "waiting", "due")["late"]
    assert "due: the oldest has waited 6 min, more than 5 min." in found["problems"]


async def test_waiting_scenarios_and_queued_jobs_are_seen(
    chain: Chain, superuser: asyncpg.Connection[Any]
) -> None:
    await chain.written_only(channel="shop")
    await chain.services.jobs.create("simulation", {}, "the test")
    chain.now = datetime.now(UTC) + 6 * MINUTE
    found = await work(chain)
    assert of(found, "waiting", "scenarios")["waiting"] == 2
    assert of(found, "waiting", "jobs")["late"]
    await superuser.execute("UPDATE billing.scenario_queue SET attempts = 10, error = 'broken'")
    found = await work(chain)
    assert of(found, "waiting", "scenarios")["waiting"] == 0
    dead = of(found, "dead", "scenarios")
    assert (dead["count"], dead["error"]) == (2, "broken")


async def test_a_campaign_that_failed_waits_for_a_person(
    chain: Chain, superuser: asyncpg.Connection[Any]
) -> None:
    body = {"code": "gift", "name": "A gift", "audience": {"tag": "vip"}, "points": "10.00"}
    made = await (await chain.client()).post("/v1/campaigns", json=body)
    assert made.status_code == 201, made.text
    await superuser.execute(
        "UPDATE billing.campaigns SET state = 'failed', failure = 'The program has ended.'"
    )
    found = await work(chain)
    dead = of(found, "dead", "campaigns")
    assert (dead["count"], dead["error"]) == (1, "The program has ended.")
    assert any(one.startswith("campaigns: 1 wait for a person.") for one in found["problems"])


async def test_a_run_that_has_begun_and_that_nobody_goes_on_with_is_seen(
    chain: Chain, superuser: asyncpg.Connection[Any]
) -> None:
    """Its campaign is neither scheduled nor failed: the worker died, or none comes."""
    client, services = await chain.client(), chain.services
    body = {"code": "gift", "name": "A gift", "audience": {"tag": "vip"}, "points": "10.00"}
    assert (await client.post("/v1/campaigns", json=body)).status_code == 201
    await superuser.execute(
        "UPDATE billing.campaigns SET state = 'scheduled', next_run_at = $1", chain.now
    )
    assert of(await work(chain), "waiting", "campaigns")["waiting"] == 1
    begun = await begin(services.database, "gift", chain.now, DAY, services.zone)
    assert begun
    found = await work(chain)
    assert of(found, "waiting", "campaigns")["waiting"] == 0
    assert of(found, "waiting", "campaigns at work")["waiting"] == 1
    chain.now += 11 * MINUTE
    found = await work(chain)
    assert "campaigns at work: the oldest has waited 11 min, more than 10 min." in found["problems"]
    for action, waiting in (("pause", 0), ("resume", 1)):
        answer = await client.post(f"/v1/campaigns/gift/{action}")
        assert answer.status_code == 200, answer.text
        one = of(await work(chain), "waiting", "campaigns at work")
        assert (one["waiting"], one["late"]) == (waiting, False)


async def test_nothing_is_shown_twice(chain: Chain) -> None:
    found = await work(chain)
    for section in ("waiting", "dead"):
        names = [one["name"] for one in found[section]]
        assert len(set(names)) == len(names)


async def test_a_customer_set_aside_is_a_problem_and_no_lag(
    chain: Chain, superuser: asyncpg.Connection[Any]
) -> None:
    await chain.scenario("registration", available={"at": (START + DAY).isoformat()})
    customer = await chain.customer(channel="shop")
    chain.now += timedelta(days=2)
    await superuser.execute(
        "INSERT INTO ledger.set_aside VALUES ($1, $2, 1, $3, 'KeyError()')",
        customer,
        chain.now,
        chain.now + MINUTE,
    )
    found = await work(chain)
    assert of(found, "waiting", "due")["waiting"] == 0
    assert of(found, "dead", "customers set aside")["error"] == "KeyError()"
    assert any("bonus audit" in problem for problem in found["problems"])


async def test_runs_that_find_nothing_are_one_row(
    chain: Chain, superuser: asyncpg.Connection[Any]
) -> None:
    rows = "SELECT count(*) FROM billing.work_runs"
    for minutes in (30, 29, 28):
        await ran(chain, "post_due", ago=minutes * MINUTE)
    assert await superuser.fetchval(rows) == 1
    await ran(chain, "post_due", handled=5, ago=27 * MINUTE)
    await ran(chain, "post_due", "failed", ago=26 * MINUTE)
    await ran(chain, "post_due", ago=2 * MINUTE)
    assert await superuser.fetchval(rows) == 4
    await ran(chain, "post_due")
    run = of(await work(chain), "actors", "post_due")
    assert (run["outcome"], run["repeats"], run["age_s"], run["late"]) == ("done", 2, 60.0, False)
    chain.now += 5 * MINUTE
    assert of(await work(chain), "actors", "post_due")["late"]
    chain.now += timedelta(days=31)
    await store.forget(chain.services.database, chain.now)
    assert await superuser.fetchval(rows) == 0


async def test_a_run_that_goes_on_is_not_late_and_one_that_was_killed_is_lost(
    chain: Chain,
) -> None:
    run = await ran(chain, "run_jobs", None, ago=timedelta(hours=1))
    assert of(await work(chain), "actors", "run_jobs")["outcome"] == "lost"
    await store.save(chain.services.database, run, chain.now)
    found = of(await work(chain), "actors", "run_jobs")
    assert (found["outcome"], found["late"]) == ("running", False)
    run.outcome, run.finished_at, run.handled = "done", chain.now, 0
    await store.save(chain.services.database, run, chain.now)
    found = of(await work(chain), "actors", "run_jobs")
    assert (found["outcome"], found["repeats"]) == ("done", 1)


async def test_an_actor_that_never_ran_is_late_only_under_a_scheduler(chain: Chain) -> None:
    assert not of(await work(chain), "actors", "forget")["late"]
    await seen(chain, "scheduler", leads_since=chain.now - timedelta(days=1))
    found = await work(chain)
    assert of(found, "actors", "forget")["late"]
    assert any("forget has never run" in problem for problem in found["problems"])


async def test_messages_in_redis_are_counted(chain: Chain, settings: Settings) -> None:
    client = redis.Redis.from_url(settings.redis_url)
    client.flushall()
    broker = RedisBroker(client=client, namespace=NAMESPACE, middleware=[])  # type: ignore[no-untyped-call]
    message: Message[None] = Message("default", "post_due", (), {}, {})
    for delay in (None, None, 60_000):
        broker.enqueue(message, delay=delay)
    client.zadd(f"{NAMESPACE}:default.XQ", {"dead": 1})
    assert (await work(chain))["queues"] == [
        {"name": "default", "waiting": 2, "delayed": 1, "dead": 1}
    ]
    client.flushall()
    client.close()


async def test_prometheus_is_told_without_asking_the_database(
    chain: Chain, superuser: asyncpg.Connection[Any]
) -> None:
    await ran(chain, "post_due", "failed")
    await seen(chain, "scheduler", leads_since=chain.now)
    await chain.services.work_sampler.sample()
    await superuser.execute("DROP TABLE billing.work_runs")
    told = chain.services.metrics.exposition().decode()
    for line in (
        'bonus_work_last_run_age_seconds{actor="post_due"} 60.0',
        'bonus_work_last_run_failed{actor="post_due"} 1.0',
        'bonus_work_lag_seconds{kind="due"} 0.0',
        'bonus_work_dead{kind="customers set aside"} 0.0',
        'bonus_work_processes{role="worker"} 0.0',
        "bonus_work_scheduler_leads 1.0",
        "bonus_work_redis_up 1.0",
        'bonus_work_queue_messages{queue="default",state="waiting"}',
    ):
        assert line in told


@pytest.mark.parametrize("role", ["finance", "admin"])
async def test_it_is_for_those_who_run_the_house(chain: Chain, role: Role) -> None:
    client = await chain.client(cast(Any, role))
    assert (await client.get("/v1/work")).status_code == 200
    assert chain.now == START
