"""In order per customer, at least once, and nobody waits for anybody else."""

from __future__ import annotations

import asyncio
import time
from collections import defaultdict

import asyncpg
import pytest

from integrations.webhooks import queue, store
from integrations.webhooks.deliverer import Deliverer
from integrations.webhooks.model import DELAYS, IN_FLIGHT, MAX_ATTEMPTS
from tests.conftest import TestDatabase
from tests.integrations.webhooks.house import House
from tests.integrations.webhooks.receiver import OK, Message, Receiver, never, status


async def test_an_event_arrives_as_the_specification_has_it(
    house: House, receiver: Receiver
) -> None:
    await house.subscribe(receiver, "points.accrued")
    customer = house.customer()
    made = await customer.give(1250)
    await customer.redeem(100)
    await house.tell()
    (message,) = receiver.messages
    assert message.path == "/hooks?shop=1"
    assert message.headers["content-type"] == "application/json"
    assert message.headers["host"] == f"127.0.0.1:{receiver.port}"
    assert list(message.event) == ["type", "timestamp", "data"]
    assert message.event["timestamp"] == "2026-01-01T00:00:00Z"
    assert message.event["data"]["transaction_id"] == str(made.id)
    (delivery,) = await house.deliveries()
    assert (str(delivery.event_id), delivery.state) == (message.id, "delivered")
    _, _, (attempt,) = await house.webhooks.delivery(delivery.id)
    assert (attempt.status, attempt.error, attempt.answer) == (200, None, '{"thanks": true}')


async def test_each_gets_what_it_asked_for_since_it_asked(
    house: House, receiver: Receiver, other: Receiver
) -> None:
    customer = house.customer()
    await house.subscribe(other, "points.*")
    await customer.give(1)
    await house.subscribe(receiver, "points.redeemed", "points.accrued")
    await customer.give(2)
    await customer.hold(1, 60)
    await house.tell()
    assert [m.event["type"] for m in receiver.messages] == ["points.accrued"]
    assert len(other.messages) == 3


async def test_what_happens_before_the_first_worker_ever_ran_is_told(
    house: House, receiver: Receiver, database: TestDatabase
) -> None:
    """A chain that subscribes first and starts its workers later."""
    owner = await asyncpg.connect(database.owner_url)
    await owner.execute("DELETE FROM billing.event_cursors")
    await owner.close()
    await house.subscribe(receiver)
    await house.customer().give(1)
    await house.tell()
    assert [m.event["type"] for m in receiver.messages] == ["points.accrued"]


async def test_order_of_a_customer_is_kept_through_failures_of_every_kind(
    house: House, receiver: Receiver
) -> None:
    await house.subscribe(receiver)
    customers = [house.customer() for _ in range(6)]
    for _ in range(5):
        for customer in customers:
            await customer.give(1)
    tries: defaultdict[str, int] = defaultdict(int)

    async def unsteady(message: Message, writer: asyncio.StreamWriter) -> None:
        tries[message.id] += 1
        if tries[message.id] == 1 + int(message.id[0], 16) % 3:
            await OK(message, writer)
        elif int(message.id[1], 16) % 2:
            writer.close()
        else:
            await status(500)(message, writer)

    receiver.answer = unsteady
    await house.tell()
    for _ in range(60):
        if not await house.deliveries("pending"):
            break
        await house.later(minutes=30)
    assert {one.state for one in await house.deliveries()} == {"delivered"}
    for customer in customers:
        versions = [
            m.event["data"]["version"] for m in receiver.messages if m.customer == str(customer.id)
        ]
        assert versions == sorted(versions)
        assert set(versions) == {1, 2, 3, 4, 5}


async def test_ten_attempts_over_three_days_and_then_a_person_replays(
    house: House, receiver: Receiver
) -> None:
    await house.subscribe(receiver)
    receiver.answer = status(500, b"\0" + b"\xff" * 3000)
    customer = house.customer()
    await customer.give(1)
    await house.tell()
    for delay in DELAYS:
        made = len(receiver.messages)
        await house.later(seconds=delay.total_seconds() - 1)
        assert len(receiver.messages) == made
        await house.later(seconds=1)
        assert len(receiver.messages) == made + 1
    assert len(receiver.messages) == MAX_ATTEMPTS
    assert len({message.id for message in receiver.messages}) == 1
    assert len({message.headers["webhook-timestamp"] for message in receiver.messages}) == 10
    (dead,) = await house.deliveries("dead")
    _, _, attempts = await house.webhooks.delivery(dead.id)
    assert [one.status for one in attempts] == [500] * MAX_ATTEMPTS
    assert attempts[0].answer is not None
    assert len(attempts[0].answer) == 500
    assert "\0" not in attempts[0].answer

    receiver.answer = OK
    await customer.give(2)
    await house.tell()
    await house.later(minutes=5)
    assert (await house.webhooks.replay(dead.id)).state == "pending"
    await house.later(minutes=5)
    assert [m.event["data"]["version"] for m in receiver.messages[-2:]] == [2, 1]
    assert receiver.messages[-1].id == receiver.messages[0].id
    assert (await house.webhooks.replay_dead(10)) == 0


async def test_customers_side_by_side_within_a_bound(house: House, receiver: Receiver) -> None:
    await house.subscribe(receiver)

    async def slow(message: Message, writer: asyncio.StreamWriter) -> None:
        await asyncio.sleep(0.05)
        await OK(message, writer)

    receiver.answer = slow
    for _ in range(3 * IN_FLIGHT):
        await house.customer().give(1)
    await house.dispatch()
    second = house.worker()
    await asyncio.gather(house.deliverer.run(), second.run())
    assert receiver.most_at_once == IN_FLIGHT
    assert len(receiver.messages) == 3 * IN_FLIGHT
    assert {one.attempts for one in await house.deliveries("delivered")} == {1}


async def test_a_subscriber_that_never_answers_holds_nobody_up(
    house: House, receiver: Receiver, other: Receiver
) -> None:
    await house.subscribe(receiver)
    await house.subscribe(other)
    receiver.answer = never
    for _ in range(2 * IN_FLIGHT):
        await house.customer().give(1)
    await house.dispatch()
    began = time.monotonic()
    run = asyncio.create_task(house.deliverer.run())
    await other.has(2 * IN_FLIGHT)
    assert time.monotonic() - began < 4
    # Nor another event of the one that answers, written while the run goes on.
    await house.customer().give(1)
    await house.dispatch()
    await other.has(2 * IN_FLIGHT + 1)
    assert time.monotonic() - began < 5
    assert len(receiver.messages) == IN_FLIGHT
    await run


async def test_one_that_is_down_is_probed_and_does_not_use_up_attempts(
    house: House, receiver: Receiver
) -> None:
    subscription = await house.subscribe(receiver)
    receiver.answer = status(503)
    for _ in range(60):
        await house.customer().give(1)
    await house.tell()
    for _ in range(30):
        await house.later(minutes=1)
    assert len(receiver.messages) < 60
    assert (await house.subscription(subscription)).failures == len(receiver.messages)
    receiver.answer = OK
    for _ in range(3):
        await house.later(hours=2)
    assert {one.state for one in await house.deliveries()} == {"delivered"}
    after = await house.subscription(subscription)
    assert (after.failures, after.failing_since, after.not_before) == (0, None, None)


async def test_retry_after_is_honoured_within_bounds(house: House, receiver: Receiver) -> None:
    await house.subscribe(receiver)
    receiver.answer = status(429, retry_after="3600")
    customer = house.customer()
    await customer.give(1)
    await house.tell()
    await house.later(minutes=59)
    assert len(receiver.messages) == 1
    receiver.answer = status(503, retry_after="999999999999")
    await house.later(minutes=1)
    assert len(receiver.messages) == 2
    receiver.answer = OK
    await house.later(hours=23)
    assert len(receiver.messages) == 2
    await house.later(hours=1)
    assert len(receiver.messages) == 3


async def test_gone_disables_and_what_waits_goes_on_when_a_person_resumes(
    house: House, receiver: Receiver
) -> None:
    subscription = await house.subscribe(receiver)
    receiver.answer = status(410)
    customer = house.customer()
    await customer.give(1)
    await house.tell()
    disabled = await house.subscription(subscription)
    assert disabled.state == "disabled"
    assert disabled.disabled_because == "the subscriber answered 410 Gone"
    await customer.give(2)
    await house.tell()
    await house.later(days=2)
    assert len(receiver.messages) == 1
    receiver.answer = OK
    await house.change(subscription, state="active")
    await customer.give(3)
    await house.tell()
    assert [m.event["data"]["version"] for m in receiver.messages] == [1, 1, 3]


async def test_days_of_nothing_but_failures_disable(house: House, receiver: Receiver) -> None:
    subscription = await house.subscribe(receiver)
    receiver.answer = status(404)
    customer = house.customer()
    for day in range(5):
        assert (await house.subscription(subscription)).state == "active", day
        await customer.give(1)
        await house.tell()
        await house.later(days=1)
    disabled = await house.subscription(subscription)
    assert disabled.state == "disabled"
    assert disabled.disabled_because == "nothing but failures since 2026-01-01 00:00 UTC"


async def test_a_house_that_slept_for_a_week_between_two_failures_disables_nobody(
    house: House, receiver: Receiver
) -> None:
    subscription = await house.subscribe(receiver)
    receiver.answer = status(500)
    await house.customer().give(1)
    await house.tell()
    await house.later(days=7)
    assert len(receiver.messages) == 2
    assert (await house.subscription(subscription)).state == "active"
    receiver.answer = OK
    await house.later(days=7)
    assert {one.state for one in await house.deliveries()} == {"delivered"}


@pytest.mark.parametrize("fault", ["slow", "500", "never", "late", "redirect"])
async def test_whatever_a_receiver_does_the_event_arrives_once_it_is_well(
    house: House, receiver: Receiver, other: Receiver, fault: str
) -> None:
    """Answers slowly, with 500, never, with 200 after the timeout, or with a way into the house:
    tried again under the same id, and the customer's next event waits for it."""
    await house.subscribe(receiver)
    # Of those who are waited for in vain the message is there within the time, on a busy machine.
    patience_s = 1.0 if fault in ("never", "late") else 20.0

    async def late(message: Message, writer: asyncio.StreamWriter) -> None:
        await asyncio.sleep(0.2 if fault == "slow" else patience_s * 2)
        await OK(message, writer)

    receiver.answer = {
        "slow": late,
        "late": late,
        "never": never,
        "500": status(500),
        "redirect": status(307, location=other.url),
    }[fault]
    customer = house.customer()
    await customer.give(1)
    await customer.give(2)
    await house.dispatch()
    ill = house.worker(timeout_s=patience_s)
    await ill.run()
    # Only who was slow within the time has had both.
    assert len(receiver.messages) == (2 if fault == "slow" else 1)
    first = receiver.messages[0].id
    receiver.answer = OK
    await house.later(seconds=5)
    versions = [m.event["data"]["version"] for m in receiver.messages]
    assert versions == ([1, 2] if fault == "slow" else [1, 1, 2])
    assert {m.id for m in receiver.messages if m.event["data"]["version"] == 1} == {first}
    assert {one.state for one in await house.deliveries()} == {"delivered"}
    assert other.messages == []


async def test_a_pause_keeps_what_comes_and_ends_by_itself(
    house: House, receiver: Receiver
) -> None:
    subscription = await house.subscribe(receiver)
    await house.change(subscription, state="paused")
    customer = house.customer()
    for _ in range(3):
        await customer.give(1)
    await house.tell()
    assert receiver.messages == []
    await house.change(subscription, state="active")
    await house.tell()
    assert [m.event["data"]["version"] for m in receiver.messages] == [1, 2, 3]
    await house.change(subscription, state="paused")
    house.clock.seconds += 31 * 86_400
    await store.prune(house.database, house.clock())
    assert (await house.subscription(subscription)).state == "disabled"
    assert await house.deliveries() == []


async def test_what_a_dead_sender_had_is_sent_by_another_once_its_lease_is_over(
    house: House, receiver: Receiver, database: TestDatabase, monkeypatch: pytest.MonkeyPatch
) -> None:
    await house.subscribe(receiver)
    customer = house.customer()
    for _ in range(2):
        await customer.give(1)
    await house.dispatch()
    receiver.answer = never
    dying = asyncio.create_task(house.worker().run())
    await receiver.has(1)
    dying.cancel()
    await asyncio.gather(dying, return_exceptions=True)
    receiver.answer = OK
    await house.deliverer.run()
    assert len(receiver.messages) == 1
    owner = await asyncpg.connect(database.owner_url)
    await owner.execute("UPDATE billing.webhook_queues SET leased_until = now() - interval '1 s'")
    await owner.close()
    await house.deliverer.run()
    assert [m.event["data"]["version"] for m in receiver.messages] == [1, 1, 2]
    assert len({message.id for message in receiver.messages}) == 2


async def test_a_sender_that_comes_back_too_late_changes_nothing(
    house: House, receiver: Receiver, database: TestDatabase, monkeypatch: pytest.MonkeyPatch
) -> None:
    await house.subscribe(receiver)
    await house.customer().give(1)
    await house.dispatch()
    monkeypatch.setattr(queue, "LEASE_S", 0)
    answers = [never, OK]

    async def first_slow(message: Message, writer: asyncio.StreamWriter) -> None:
        await answers[min(len(receiver.messages), 2) - 1](message, writer)

    receiver.answer = first_slow
    late = asyncio.create_task(house.worker(timeout_s=1.0).run())
    await receiver.has(1)
    await house.deliverer.run()
    await late
    (delivery,) = await house.deliveries()
    assert (delivery.state, delivery.attempts) == ("delivered", 1)
    _, _, attempts = await house.webhooks.delivery(delivery.id)
    assert {one.error for one in attempts} == {None, "timeout"}


async def test_each_event_has_one_delivery_whatever_is_killed(
    house: House, receiver: Receiver, other: Receiver
) -> None:
    await house.subscribe(receiver)
    await house.subscribe(other)
    customers = [house.customer() for _ in range(8)]
    busy = True

    async def till(index: int) -> None:
        for _ in range(12):
            await customers[index].give(1)

    async def die_again_and_again() -> None:
        while busy:
            task = asyncio.create_task(house.dispatcher.advance())
            await asyncio.sleep(0.01)
            task.cancel()
            await asyncio.gather(task, return_exceptions=True)

    killer = asyncio.create_task(die_again_and_again())
    await asyncio.gather(*(till(index) for index in range(8)))
    busy = False
    await killer
    await house.tell()
    assert len(await house.deliveries()) == 2 * 8 * 12
    for one in (receiver, other):
        assert len({message.id for message in one.messages}) == len(one.messages) == 96


async def test_stopping_finishes_what_is_on_its_way(house: House, receiver: Receiver) -> None:
    await house.subscribe(receiver)

    async def slow(message: Message, writer: asyncio.StreamWriter) -> None:
        await asyncio.sleep(0.3)
        await OK(message, writer)

    receiver.answer = slow
    for _ in range(IN_FLIGHT + 5):
        await house.customer().give(1)
    await house.dispatch()
    deliverer: Deliverer = house.deliverer
    run = asyncio.create_task(deliverer.run())
    await receiver.has(IN_FLIGHT)
    deliverer.stop()
    assert await run == IN_FLIGHT
    assert len(await house.deliveries("delivered")) == IN_FLIGHT
    assert len(await house.deliveries("pending")) == 5
