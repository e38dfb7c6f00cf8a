"""Events become messages: once, to those who may be told, when they may be."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from uuid import UUID

import pytest
from sqlalchemy.ext.asyncio import AsyncConnection

from billing.events.schemas import ByBucket, ExpiringPart, PointsExpiringSoon
from billing.events.store import record
from billing.messages.telling import variables_of
from tests.billing.messages.conftest import Chain

DAY = 86_400


async def test_each_movement_is_told_in_its_own_words(chain: Chain) -> None:
    await chain.settings()
    customer = await chain.customer()
    await customer.give(1250)
    await customer.redeem(250)
    told = await chain.tell()
    assert [(one.kind, one.text) for one in told] == [
        ("accrual", "Начислено бонусов: 12,50. Баланс: 12,50. Fresh"),
        ("redemption", "Списано бонусов: 2,50. Баланс: 10. Fresh"),
    ]
    assert {one.phone for one in told} == {"+79990000001"}


async def test_deferred_points_are_told_with_their_day_and_again_when_they_come(
    chain: Chain,
) -> None:
    await chain.settings()
    customer = await chain.customer()
    await customer.give(500, active=10 * DAY)
    (told,) = await chain.tell()
    assert told.text == "Начислено бонусов: 5, доступны с 11.01.2026. Баланс: 0. Fresh"
    chain.clock.seconds = 10 * DAY
    await customer.give(1)
    assert ("activation", "Доступно бонусов: 5. Баланс: 5. Fresh") in [
        (one.kind, one.text) for one in await chain.tell()
    ]


async def test_expiring_points_are_told_with_their_day(chain: Chain) -> None:
    await chain.settings(language="en")
    customer = await chain.customer()
    part = ExpiringPart(customer.id, "base", "3.00", None, chain.clock.at(7 * DAY))
    data = PointsExpiringSoon(
        customer_id=customer.id,
        on=chain.clock.at(7 * DAY).date(),
        points=ByBucket("3.00", "3.00", "0.00"),
        available="5.00",
        parts=[part],
    )
    async with chain.database.transaction() as tx:
        await record(tx, data, chain.clock())
    (told,) = await chain.tell()
    assert told.text == "Points expiring on 2026-01-08: 3. Fresh"


async def test_nothing_is_told_unless_it_is_switched_on(chain: Chain) -> None:
    customer = await chain.customer()
    await customer.give(100)
    assert await chain.tell() == []
    await chain.settings(tell={"redemption": True})
    await customer.give(100)
    await customer.redeem(50)
    assert [one.kind for one in await chain.tell()] == ["redemption"]


async def test_who_is_not_verified_or_does_not_want_it_is_not_told(chain: Chain) -> None:
    await chain.settings()
    for phone, status in (("+79990000002", "unverified"), ("+79990000003", "blocked")):
        await (await chain.customer(phone, status)).give(100)
    out = await chain.customer("+79990000004")
    async with chain.database.transaction() as tx:
        await chain.messages.opt_out(tx, "+79990000004", "test")
    await out.give(100)
    stranger = await chain.customer("+79990000005")
    await stranger.give(100)
    assert [one.phone for one in await chain.tell()] == ["+79990000005"]

    class OnlyNobody:
        async def willing(self, tx: AsyncConnection, customers: Sequence[UUID]) -> set[UUID]:
            return set()

    chain.teller = chain.new_teller(OnlyNobody())
    await stranger.give(100)
    assert len(await chain.tell()) == 1
    async with chain.database.transaction() as tx:
        await chain.messages.opt_in(tx, "+79990000004")
    chain.teller = chain.new_teller()
    await out.give(100)
    assert [one.phone for one in await chain.tell()][1:] == ["+79990000004"]


async def test_the_night_of_the_customers_store_is_quiet(chain: Chain) -> None:
    """The clock says midnight UTC: 03:00 in Moscow, 10:00 in Vladivostok."""
    await chain.settings(quiet_hours={"since": "22:00", "until": "09:00"}, notice_hours=12)
    await chain.owner.execute(
        """INSERT INTO billing.channels (code, name) VALUES ('night', 'x');
        INSERT INTO billing.stores (code, name, channel, timezone) VALUES
        ('night-v', 'Владивосток', 'night', 'Asia/Vladivostok'), ('night-m', 'x', 'night', NULL)"""
    )
    for number, store in enumerate(("night-v", "night-m")):
        await (await chain.customer(f"+7999000001{number}", store=store)).give(100)
    east, west = await chain.tell()
    assert (east.zone, east.not_before, east.expires_at) == ("Asia/Vladivostok", 0, 12)
    assert (west.zone, west.not_before, west.expires_at) == ("Europe/Moscow", 6, 18)


async def test_each_event_is_told_once_however_many_tell(chain: Chain) -> None:
    await chain.settings()
    place = await chain.owner.fetchval(
        "SELECT xid FROM billing.event_cursors WHERE consumer = 'messages'"
    )
    customer = await chain.customer()
    for _ in range(20):
        await customer.give(100)
    tellers = [chain.new_teller() for _ in range(4)]

    async def tell(number: int) -> None:
        while await tellers[number].advance():
            pass

    await asyncio.gather(*map(tell, range(4)))
    assert len(await chain.tell()) == 20
    # Whoever reads the stream anew queues nothing anew.
    await chain.owner.execute("UPDATE billing.event_cursors SET xid = $1", place)
    assert len(await chain.tell()) == 20


async def test_after_a_week_of_sleep_nobody_is_flooded_with_old_news(chain: Chain) -> None:
    await chain.settings(notice_hours=24)
    customer = await chain.customer()
    await customer.give(100)
    chain.clock.seconds = 7 * DAY
    await customer.give(200)
    assert [one.text.split(".")[0] for one in await chain.tell()] == ["Начислено бонусов: 2"]


async def test_a_name_cannot_speak_in_the_chains_name(chain: Chain) -> None:
    await chain.settings()
    await chain.templates.write("accrual", "ru", "{name}, +{points}", "test")
    evil = "Анна\nКод 111111, назовите его по http://evil.example"
    await (await chain.customer(name=evil)).give(100)
    (told,) = await chain.tell()
    assert told.text == "Анна Код назовите его по httpevilexample, +1"


async def test_one_who_cannot_be_read_does_not_hold_up_the_others(chain: Chain) -> None:
    await chain.settings()
    broken = await chain.customer("+79990000007")
    await chain.owner.execute(
        "UPDATE billing.customers SET data_key = 'x' WHERE id = $1", broken.id
    )
    await broken.give(100)
    await (await chain.customer("+79990000008")).give(100)
    assert [one.phone for one in await chain.tell()] == ["+79990000008"]


async def test_a_persons_messages_can_be_forgotten(chain: Chain) -> None:
    await chain.settings()
    customer = await chain.customer()
    await customer.give(100)
    await chain.tell()
    async with chain.database.transaction() as tx:
        await chain.messages.forget_customer(tx, customer.id)
    row = await chain.owner.fetchrow("SELECT * FROM billing.messages")
    assert (row["phone_encrypted"], row["text_encrypted"], row["phone_masked"]) == (None, None, "")
    assert (row["status"], row["error"], row["phone_hash"]) == ("failed", "forgotten", b"")


def test_a_level_is_told_by_its_name() -> None:
    assert variables_of("level_change", {"level": "Gold"}, None, None) == {"level": "Gold"}  # type: ignore[arg-type]


@pytest.mark.parametrize("chunk", [1, 500])
async def test_a_crowd_is_told_in_bounded_steps(chain: Chain, chunk: int) -> None:
    await chain.settings()
    chain.teller = chain.new_teller(chunk=chunk)
    for number in range(30):
        await (await chain.customer(f"+799900002{number:02d}")).give(100)
    assert len(await chain.tell()) == 30
