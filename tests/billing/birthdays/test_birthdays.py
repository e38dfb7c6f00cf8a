"""Birthday points by themselves: once per customer, program and year, whatever is cut off."""

from __future__ import annotations

import asyncio
from datetime import UTC, datetime
from typing import Any

import asyncpg

from billing.birthdays.service import Birthdays
from billing.birthdays.store import BORN_ON
from billing.programs.book import ProgramBook
from tests.billing.scenarios.house import Chain


def birthdays(chain: Chain) -> Birthdays:
    """As a worker process has it."""
    services = chain.services
    book = ProgramBook(services.database, services.catalog)
    return Birthdays(services.ledger, services.database, services.catalog, book, services.zone)


async def give_at(chain: Chain, *when: int, hour: float = 12) -> int:
    """A pass at that time in Moscow."""
    year, month, day = when
    minutes = round(hour * 60) - 180
    chain.now = datetime.fromtimestamp(
        datetime(year, month, day, tzinfo=UTC).timestamp() + minutes * 60, UTC
    )
    return await birthdays(chain).give(limit=3)


async def test_everybody_in_the_window_gets_once_a_year(chain: Chain) -> None:
    """A worker that slept for a week serves the windows that are still open."""
    await chain.scenario("birthday", scenario={"days_before": 3, "days_after": 3})
    people = {
        day: await chain.customer(birth_date=f"1990-04-{day:02}", channel="shop")
        for day in range(8, 29)
    }
    nobody = await chain.customer(channel="shop")
    assert await give_at(chain, 2027, 4, 14) == 7, "from the 11th to the 17th"
    assert await give_at(chain, 2027, 4, 14) == 0
    assert await give_at(chain, 2027, 4, 15) == 1
    assert await give_at(chain, 2027, 4, 22) == 7, "from the 19th to the 25th; the 18th is over"
    got = [day for day, one in people.items() if await chain.balance(one) == "100.00"]
    assert got == [*range(11, 18), 18, *range(19, 26)]
    assert await chain.balance(nobody) == "0.00"
    assert await give_at(chain, 2028, 4, 14) == 7, "and so the next year"
    (second, first) = await chain.transactions(people[14])
    assert first["program"] == second["program"]


async def test_29_february_is_the_28th_in_other_years(chain: Chain) -> None:
    await chain.scenario("birthday")
    born = await chain.customer(birth_date="1992-02-29", channel="shop")
    day_before = await chain.customer(birth_date="1992-02-28", channel="shop")
    assert await give_at(chain, 2028, 2, 28) == 1
    assert await chain.balance(day_before) == "100.00"
    assert await give_at(chain, 2028, 2, 29) == 1
    assert await chain.balance(born) == "100.00"
    assert await give_at(chain, 2029, 2, 28) == 2
    assert await give_at(chain, 2029, 3, 1) == 0


async def test_the_day_is_that_of_the_chain(chain: Chain) -> None:
    """… or of the store where the customer registered."""
    client = await chain.client()
    store = {"name": "No 1", "channel": "shop", "timezone": "Asia/Kamchatka"}
    assert (await client.put("/v1/stores/east", json=store)).is_success
    await chain.scenario("birthday")
    await chain.customer(birth_date="1990-05-10", channel="shop")
    east = await chain.customer(birth_date="1990-05-10", channel="shop", store="east")
    assert await give_at(chain, 2027, 5, 9, hour=14.9) == 0
    assert await give_at(chain, 2027, 5, 9, hour=15) == 1, "midnight in Kamchatka"
    assert await chain.balance(east) == "100.00"
    assert await give_at(chain, 2027, 5, 9, hour=23.9) == 0
    assert await give_at(chain, 2027, 5, 10, hour=0) == 1


async def test_a_birthday_around_new_year_is_one(chain: Chain) -> None:
    await chain.scenario("birthday", scenario={"days_before": 7, "days_after": 7})
    await chain.customer(birth_date="1990-01-02", channel="shop")
    await chain.customer(birth_date="1990-12-30", channel="shop")
    assert await give_at(chain, 2027, 12, 29) == 2
    assert await give_at(chain, 2028, 1, 3) == 0


async def test_a_date_that_came_late_gives_nothing(chain: Chain) -> None:
    await chain.scenario("birthday", scenario={"days_after": 3, "known_before": 14})
    early = await chain.customer(birth_date="1990-03-20", channel="shop")
    late = await chain.customer(channel="shop")
    chain.now = datetime(2027, 3, 10, tzinfo=UTC)
    await chain.change(late, birth_date="1990-03-20")
    assert await give_at(chain, 2027, 3, 21) == 1
    assert [await chain.balance(one) for one in (early, late)] == ["100.00", "0.00"]
    assert await give_at(chain, 2028, 3, 21) == 2


async def test_programs_give_each_and_never_what_a_till_has_given(chain: Chain) -> None:
    await chain.scenario("birthday", "10.00", scenario={"days_before": 5})
    await chain.scenario("birthday", "3.00", scenario={"days_before": 2})
    sent = await chain.customer(birth_date="1990-06-20", channel="shop")
    unsent = await chain.customer(birth_date="1990-06-20", channel="shop")
    chain.now = datetime(2027, 6, 15, 12, tzinfo=UTC)
    assert (await chain.send(sent, "birthday")).json()["id"]
    assert await give_at(chain, 2027, 6, 16) == 1
    assert [await chain.balance(one) for one in (sent, unsent)] == ["10.00"] * 2
    assert await give_at(chain, 2027, 6, 18) == 2
    assert [await chain.balance(one) for one in (sent, unsent)] == ["13.00"] * 2
    assert (await chain.send(unsent, "birthday")).json()["id"] is None
    assert await give_at(chain, 2027, 6, 20) == 0


async def test_only_who_is_verified_and_as_soon_as_it_is_so(chain: Chain) -> None:
    """B20."""
    await chain.scenario("birthday", scenario={"days_after": 2})
    one = await chain.customer("unverified", birth_date="1990-06-20", channel="shop")
    assert await give_at(chain, 2027, 6, 20) == 0
    await chain.change(one, status="verified")
    assert await give_at(chain, 2027, 6, 22) == 1


async def test_passes_side_by_side_and_cut_off_give_once(chain: Chain) -> None:
    await chain.scenario("birthday")
    people = [await chain.customer(birth_date="1990-06-20", channel="shop") for _ in range(40)]
    chain.now = datetime(2027, 6, 20, 12, tzinfo=UTC)
    cut = asyncio.create_task(birthdays(chain).give(limit=4))
    await asyncio.sleep(0.1)
    cut.cancel()
    await asyncio.gather(cut, return_exceptions=True)
    await asyncio.gather(*(birthdays(chain).give(limit=4) for _ in range(3)))
    await birthdays(chain).give(limit=4)
    for one in people:
        assert [t["points"] for t in await chain.transactions(one)] == ["100.00"]


async def test_a_worker_that_stops_leaves_the_rest_to_the_next_pass(chain: Chain) -> None:
    await chain.scenario("birthday")
    for _ in range(5):
        await chain.customer(birth_date="1990-06-20", channel="shop")
    chain.now = datetime(2027, 6, 20, 12, tzinfo=UTC)
    assert await birthdays(chain).give(limit=2, stopping=lambda: True) == 0
    assert await birthdays(chain).give(limit=2) == 5


async def test_they_are_found_by_an_index(superuser: asyncpg.Connection[Any]) -> None:
    """At size: 200,000 customers, some 550 a day."""
    await superuser.execute(
        "INSERT INTO billing.customers (id, status, phone_masked, created_at, updated_at,"
        " birth_date) SELECT gen_random_uuid(), 'verified', '', now(), now(),"
        " date '1960-01-01' + n % 18000 FROM generate_series(1, 200000) n"
    )
    await superuser.execute("ANALYZE billing.customers")
    nobody = "00000000-0000-0000-0000-000000000000"
    query = BORN_ON.replace("$1", "620").replace("$2", f"'{nobody}'").replace("$3", "1000")
    plan = "\n".join(row[0] for row in await superuser.fetch(f"EXPLAIN {query}"))
    assert "customers_birthday_idx" in plan, plan
