"""Points for registering and for being verified: by themselves, once, and never lost."""

from __future__ import annotations

import asyncio
from typing import TypeAlias

import asyncpg

from tests.billing.scenarios.house import Chain

Superuser: TypeAlias = "asyncpg.Connection[asyncpg.Record]"

WAITING = "SELECT event, attempts, error FROM billing.scenario_queue WHERE done_at IS NULL"


async def test_who_registers_gets_points_once_verified(chain: Chain) -> None:
    """B14 and B20: only a verified customer collects, so the welcome waits until then."""
    program = await chain.scenario("registration")
    customer = await chain.customer("unverified", channel="shop", store="333")
    assert await chain.balance(customer) == "0.00"
    await chain.change(customer, status="verified")
    assert await chain.balance(customer) == "100.00"
    (given,) = await chain.transactions(customer)
    assert given["kind"] == "accrual"
    assert (given["program"], given["channel"], given["store"]) == (program, "shop", "333")


async def test_it_is_the_program_of_the_registration_that_gives(chain: Chain) -> None:
    """Not that of the verification, which may be days later."""
    await chain.scenario("registration", "7.00", valid_to="2027-03-02T00:00:00+03:00")
    await chain.scenario("registration", "9.00", valid_from="2027-03-02T00:00:00+03:00")
    customer = await chain.customer("unverified")
    chain.now = chain.now.replace(day=5)
    await chain.change(customer, status="verified")
    assert await chain.balance(customer) == "7.00"


async def test_verified_twice_is_given_once(chain: Chain) -> None:
    await chain.scenario("registration", "100.00")
    await chain.scenario("verification", "30.00")
    customer = await chain.customer()
    assert await chain.balance(customer) == "130.00"
    await chain.change(customer, status="blocked")
    await chain.change(customer, status="verified")
    await chain.change(customer, phone="+79180099999")
    await chain.change(customer, status="verified")
    await chain.sweep()
    assert await chain.balance(customer) == "130.00"
    assert len(await chain.transactions(customer)) == 2


async def test_only_the_programs_of_the_place_give(chain: Chain) -> None:
    """B12: of the channel and store where the customer registered."""
    await chain.scenario("registration", "10.00", scope={"channels": ["shop"]})
    assert await chain.balance(await chain.customer(channel="shop")) == "10.00"
    assert await chain.balance(await chain.customer(channel="site")) == "0.00"
    assert await chain.balance(await chain.customer()) == "0.00"


async def test_without_a_program_nothing_is_written(chain: Chain, superuser: Superuser) -> None:
    customer = await chain.customer()
    assert await chain.transactions(customer) == []
    assert await superuser.fetch(WAITING) == []


async def test_what_a_killed_process_left_is_swept_once(chain: Chain, superuser: Superuser) -> None:
    """Also by sweeps side by side, and when the one before died between posting and noting."""
    await chain.scenario("registration")
    customers = [await chain.written_only() for _ in range(20)]
    await asyncio.gather(*(chain.sweep(limit=15) for _ in range(3)))
    while await chain.sweep(limit=15):
        pass
    await superuser.execute("UPDATE billing.scenario_queue SET done_at = NULL")
    assert await chain.sweep() == 40
    assert {await chain.balance(one) for one in customers} == {"100.00"}
    assert await superuser.fetch(WAITING) == []


async def test_a_busy_ledger_does_not_hold_up_registering(
    chain: Chain, superuser: Superuser
) -> None:
    await chain.scenario("registration")
    async with superuser.transaction():
        await superuser.execute("LOCK TABLE ledger.balances IN EXCLUSIVE MODE")
        async with asyncio.timeout(2.5):
            customer = await chain.customer()
    assert await chain.balance(customer) == "0.00"
    await chain.sweep()
    assert await chain.balance(customer) == "100.00"


async def test_a_poisoned_row_stops_nobody_and_waits_for_a_person(
    chain: Chain, superuser: Superuser
) -> None:
    await chain.scenario("registration")
    poisoned, well = await chain.written_only(), await chain.written_only()
    await superuser.execute(
        """UPDATE billing.scenario_queue SET details = '{"channel": "gone", "store": null}'
        WHERE customer_id = $1 AND event = 'registration'""",
        poisoned,
    )
    assert await chain.sweep() == 4
    assert await chain.balance(well) == "100.00"
    (row,) = await superuser.fetch(WAITING)
    assert (row["event"], row["attempts"]) == ("registration", 1)
    assert "no channel 'gone'" in row["error"]
    assert await chain.sweep() == 0, "after a failure it waits before it tries again"
    await superuser.execute(
        """UPDATE billing.scenario_queue SET created_at = now() - interval '1 day',
           details = '{"channel": "shop", "store": null}' WHERE done_at IS NULL"""
    )
    assert await chain.sweep() == 1
    assert await chain.balance(poisoned) == "100.00"


async def test_a_blocked_customer_gets_it_when_unblocked(chain: Chain) -> None:
    await chain.scenario("verification")
    customer = await chain.written_only()
    await chain.change(customer, status="blocked")
    assert await chain.sweep() == 0
    await chain.change(customer, status="verified")
    assert await chain.balance(customer) == "100.00"
