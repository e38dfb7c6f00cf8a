"""Expiry notices: exact sums of every lot, once per customer and day (features, Expiry; C32)."""

from __future__ import annotations

import asyncio
import re
from datetime import UTC, datetime
from typing import Any
from zoneinfo import ZoneInfo

import asyncpg
import msgspec
import pytest

from billing.common.db import Database
from billing.notices.service import ExpiryNotices
from billing.notices.store import IN_ORDER, WALK
from ledger.service import Ledger
from tests.ledger.conftest import START, Clock
from tests.ledger.house import Customer, lot

MOSCOW = ZoneInfo("Europe/Moscow")
HOUR, DAY = 3600.0, 86_400.0
_EVENTS = "SELECT customer_id, data FROM billing.events WHERE type = 'points.expiring_soon'"


def moscow(month: int, day: int, hour: float = 0) -> float:
    """A time of 2026 in Moscow (UTC+3), in seconds of the clock."""
    midnight = datetime(2026, month, day, tzinfo=UTC)
    return (midnight - START).total_seconds() + (hour - 3) * HOUR


class House:
    def __init__(
        self, ledger: Ledger, clock: Clock, db: Database, superuser: asyncpg.Connection[Any]
    ) -> None:
        self.ledger, self.clock, self.db, self.superuser = ledger, clock, db, superuser

    def customer(self) -> Customer:
        return Customer(self.ledger, self.clock)

    def notices(self, *days: int) -> ExpiryNotices:
        return ExpiryNotices(self.db, days or (7,), MOSCOW, clock=self.clock)

    async def walk(self, *days: int, limit: int = 1000) -> int:
        """As a worker does: until nothing is left; how many were told."""
        notices, told = self.notices(*days), 0
        while (step := await notices.step(limit=limit)) is not None:
            told += step
        return told

    async def told(self, one: Customer) -> list[dict[str, Any]]:
        rows = await self.superuser.fetch(f"{_EVENTS} AND customer_id = $1 ORDER BY seq", one.id)
        return [msgspec.json.decode(row["data"]) for row in rows]


@pytest.fixture
def house(ledger: Ledger, clock: Clock, db: Database, superuser: asyncpg.Connection[Any]) -> House:
    return House(ledger, clock, db, superuser)


async def test_exact_sums_of_every_lot_that_ends_that_day_and_once(
    house: House, clock: Clock
) -> None:
    one = house.customer()
    given = await one.accrue(
        lot(1000, expires=moscow(1, 15)),
        lot(250, "promo", expires=moscow(1, 15, 12)),
        lot(70, expires=moscow(1, 16) - 1),
        lot(5, expires=moscow(1, 16)),
        lot(3, expires=moscow(1, 15) - 1),
        lot(2),
        lot(40, active=moscow(1, 12), expires=moscow(1, 15, 1)),
    )
    await one.redeem(103)
    clock.seconds = moscow(1, 8, 9)
    assert await house.walk() == 1
    assert await house.walk() == 0
    (told,) = await house.told(one)
    assert told["on"] == "2026-01-15"
    assert told["points"] == {"total": "12.60", "base": "10.10", "promo": "2.50"}
    assert told["available"] == "12.27"
    lots = [posting.lot_id for posting in given.postings]
    assert [(part["lot_id"], part["points"]) for part in told["parts"]] == [
        (str(lots[0]), "9.00"),
        (str(lots[6]), "0.40"),
        (str(lots[1]), "2.50"),
        (str(lots[2]), "0.70"),
    ]
    clock.seconds = moscow(1, 8, 23.99)
    assert await house.walk() == 0
    clock.seconds = moscow(1, 9)
    assert await house.walk() == 1
    assert [t["points"]["total"] for t in await house.told(one)] == ["12.60", "0.05"]


async def test_sums_are_those_a_till_would_see(house: House, clock: Clock) -> None:
    """A hold whose time is over is points again, one that lasts is not; nothing was swept."""
    one = house.customer()
    await one.give(100, expires=moscow(1, 15, 5))
    await one.hold(30, 1 * HOUR)
    await one.hold(20, 60 * DAY)
    clock.seconds = moscow(1, 8, 9)
    assert await house.walk() == 1
    (told,) = await house.told(one)
    assert (told["points"]["total"], told["available"]) == ("0.80", "0.80")


async def test_nothing_for_points_spent_meanwhile(house: House, clock: Clock) -> None:
    spender, keeper = house.customer(), house.customer()
    for one in (spender, keeper):
        await one.give(100, expires=moscow(1, 15, 5))
    await spender.redeem(100)
    clock.seconds = moscow(1, 8)
    assert await house.walk() == 1
    assert await house.told(spender) == []


async def test_a_worker_that_slept_tells_what_can_still_be_spent(
    house: House, clock: Clock
) -> None:
    """Once, late, each day; what expired meanwhile, and what was never its task, is not told."""
    people = {day: house.customer() for day in range(8, 20)}
    for day, one in people.items():
        await one.give(100, expires=moscow(1, day, 5))
    clock.seconds = moscow(1, 2)
    assert await house.walk() == 1, "only those of the 9th: the first day begins it"
    clock.seconds = moscow(1, 11, 9)
    assert await house.walk() == 7
    told = {day: [t["on"] for t in await house.told(one)] for day, one in people.items()}
    days = {9, *range(12, 19)}
    assert told == {day: [f"2026-01-{day:02}"] if day in days else [] for day in people}


async def test_several_days_ahead_are_told_each(house: House, clock: Clock) -> None:
    one = house.customer()
    await one.give(100, expires=moscow(1, 31, 5))
    for day in range(1, 31):
        clock.seconds = moscow(1, day, 9)
        await house.walk(30, 7, 1)
    assert [t["on"] for t in await house.told(one)] == ["2026-01-31"] * 3
    assert await house.superuser.fetch("SELECT days_ahead FROM billing.notices ORDER BY 1") == [
        (1,),
        (7,),
        (30,),
    ]
    clock.seconds = moscow(12, 1)
    await house.notices().forget()
    assert await house.superuser.fetchval("SELECT count(*) FROM billing.notices") == 0


async def test_many_walk_side_by_side_and_are_cut_off_at_any_step(
    house: House, clock: Clock
) -> None:
    """Each event once: a step is one transaction."""
    people = [house.customer() for _ in range(60)]
    for n, one in enumerate(people):
        await one.accrue(lot(100, expires=moscow(1, 15, n % 7)), lot(50, expires=moscow(1, 15, 9)))
    clock.seconds = moscow(1, 8)
    cut = asyncio.create_task(house.walk(limit=7))
    await asyncio.sleep(0.05)
    cut.cancel()
    await asyncio.gather(cut, return_exceptions=True)
    await asyncio.gather(*(house.walk(limit=7) for _ in range(3)))
    rows = await house.superuser.fetch(_EVENTS)
    assert {row["customer_id"] for row in rows} == {one.id for one in people}
    assert len(rows) == len(people)
    assert {msgspec.json.decode(row["data"])["points"]["total"] for row in rows} == {"1.50"}


async def test_a_broken_customer_stops_nobody(house: House, clock: Clock) -> None:
    people = [house.customer() for _ in range(3)]
    for one in people:
        await one.give(100, expires=moscow(1, 15, 5))
        await one.hold(10, HOUR)
    await house.superuser.execute(
        "UPDATE ledger.lots SET held = 5, available = 95 WHERE customer_id = $1", people[1].id
    )
    clock.seconds = moscow(1, 8)
    assert await house.walk() == 2


async def test_the_walk_reads_its_index_in_order(house: House) -> None:
    """At size: 300,000 open lots, a third of them of one day; a step reads on, it never sorts."""
    await house.superuser.execute(
        "INSERT INTO ledger.lots SELECT gen_random_uuid(), gen_random_uuid(), 'base', 1, now(),"
        " CASE WHEN n % 3 = 0 THEN timestamptz '2026-01-15 12:00Z'"
        " ELSE timestamptz '2026-01-01Z' + make_interval(hours => n % 8760) END, NULL, NULL, now(),"
        " 1, 0, 0, 0, 0, 0, 0, true FROM generate_series(1, 300000) n"
    )
    await house.superuser.execute("ANALYZE ledger.lots")
    query = WALK
    for name, value in {
        ":after_at": "'2026-01-15 12:00Z'",
        ":after": "'80000000-0000-0000-0000-000000000000'",
        ":begin": "'2026-01-15Z'",
        ":end": "'2026-01-16Z'",
        ":limit": "1000",
    }.items():
        query = query.replace(name, value)
    async with house.superuser.transaction():
        await house.superuser.execute(IN_ORDER)
        rows = await house.superuser.fetch(f"EXPLAIN (ANALYZE, BUFFERS, COSTS OFF) {query}")
    plan = "\n".join(row[0] for row in rows)
    assert "using lots_expires_at_idx" in plan
    assert "Sort" not in plan, plan
    pages = re.search(r"Buffers: shared hit=(\d+)", plan)
    assert pages is not None
    assert int(pages[1]) < 1100, "at most a page of the table for each place"
