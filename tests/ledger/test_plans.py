"""Plans: what only the lock can tell (DESIGN §4; decision 11). Counters stand for any fact."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable
from typing import Any
from uuid import UUID

import asyncpg
import pytest

from ledger import commands as c
from ledger.errors import Refusal, Unavailable
from ledger.service import Ledger
from tests.conftest import TestDatabase
from tests.ledger.conftest import Clock
from tests.ledger.house import Customer, lot

HOUSE = UUID(int=0)
SQL = """
SELECT c.customer_id, c.name, c.value FROM billing.counters c
WHERE (c.customer_id, c.name) IN (SELECT * FROM unnest($1::uuid[], $2::text[]))
ORDER BY c.customer_id, c.name
"""
OWN = c.Reading("own", SQL)
SHARED = c.Reading("shared", SQL, lock=True)
COUNT = c.Statement(
    "count",
    "INSERT INTO billing.counters AS k SELECT * FROM unnest($1::uuid[], $2::text[], $3::bigint[])"
    " ON CONFLICT (customer_id, name) DO UPDATE SET value = excluded.value",
    3,
)


@pytest.fixture
def one(ledger: Ledger, clock: Clock) -> Customer:
    return Customer(ledger, clock)


@pytest.fixture
async def database_of_budget(database: TestDatabase) -> TestDatabase:
    connection = await asyncpg.connect(database.superuser_url)
    await connection.execute("INSERT INTO billing.counters VALUES ($1, 'budget', 0)", HOUSE)
    await connection.close()
    return database


def up_to(one: Customer, limit: int, fact: c.Fact, ask: int = 10) -> c.Command:
    """Earn `ask` points while the counter is below `limit`."""
    seen: list[int] = []

    def plan(view: c.View) -> tuple[c.Step, ...]:
        rows = view.facts[fact]
        used = rows[0][0] if rows else 0
        points = min(ask, limit - used)
        if points <= 0:
            raise Refusal("insufficient_points", "the limit is used up")
        seen[:] = [used + points]
        return (c.Accrue((lot(points),)),)

    def complete(_: Any) -> c.Completion:
        row = (COUNT, (fact.customer_id, fact.name, seen[0]))
        return c.Completion(None, (row,), {fact: [(seen[0],)]})

    return one.command("accrual", plan=plan, facts=(fact,), complete=complete)


async def test_commands_of_one_group_see_what_the_ones_before_them_used(one: Customer) -> None:
    fact = c.Fact(OWN, one.id, "day")
    fates = await one.ledger.execute_many([up_to(one, 25, fact) for _ in range(4)])
    assert [isinstance(fate, Refusal) for fate in fates] == [False, False, False, True]
    assert await one.available() == 25


async def test_ledgers_side_by_side_never_pass_a_shared_limit(
    ledger: Ledger, clock: Clock, database_of_budget: TestDatabase
) -> None:
    fact = c.Fact(SHARED, HOUSE, "budget")
    async with Ledger(database_of_budget.url, clock=clock) as other:
        people = [Customer(where, clock) for where in (ledger, other) for _ in range(20)]
        commands = [(one, up_to(one, 155, fact)) for one in people]
        fates = await asyncio.gather(
            *(one.result(command) for one, command in commands), return_exceptions=True
        )
    assert sum(isinstance(fate, Refusal) for fate in fates) == 24
    assert sum([await one.at(ledger).available() for one in people]) == 155


async def test_a_locked_budget_stops_only_those_who_need_it(
    ledger: Ledger, clock: Clock, database_of_budget: TestDatabase
) -> None:
    """Somebody outside holds the row: who needs it hears so, the others are served."""
    fact = c.Fact(SHARED, HOUSE, "budget")
    needing = [Customer(ledger, clock) for _ in range(8)]
    others = [Customer(ledger, clock) for _ in range(8)]
    outside = await asyncpg.connect(database_of_budget.superuser_url)
    async with outside.transaction():
        await outside.fetch("SELECT FROM billing.counters FOR UPDATE")
        started = time.monotonic()
        fates = await asyncio.gather(
            *(one.result(up_to(one, 999, fact)) for one in needing),
            *(one.give(5) for one in others),
            return_exceptions=True,
        )
        assert time.monotonic() - started < 8 * 0.5, "no half of the group waited for itself"
    await outside.close()
    assert [type(fate) for fate in fates[:8]] == [Unavailable] * 8
    assert [await one.available() for one in others] == [5] * 8


async def test_a_plan_sees_the_state_brought_up_to_date(one: Customer, clock: Clock) -> None:
    await one.give(10, active=50)
    await one.give(20, expires=50)
    clock.seconds = 60
    seen: list[int] = []

    def plan(view: c.View) -> tuple[c.Step, ...]:
        seen.append(view.state.available)
        return (c.Redeem("max"),)

    await one.do("redemption", plan=plan)
    assert (seen, await one.available()) == ([10], 0)


async def test_a_claim_is_taken_once_by_whichever_door(one: Customer) -> None:
    await one.give(10, at=0)
    await one.accrue(lot(1), source="sale/1", claims=("payment/1",))
    for more in ({"source": "payment/1"}, {"source": "sale/2", "claims": ("payment/1",)}):
        with pytest.raises(Refusal) as refused:
            await one.accrue(lot(1), **more)
        assert (refused.value.code, refused.value.members["source"]) == (
            "source_exists",
            "payment/1",
        )


async def test_an_excluded_key_refuses_and_stays_free(one: Customer) -> None:
    await one.give(10, at=0)
    await one.accrue(lot(1), source="sale/1", excludes=("payment/1",))
    await one.accrue(lot(1), source="payment/1")
    sales = [
        one.command(
            "accrual",
            c.Accrue((lot(1),)),
            source=f"sale/{n}",
            excludes=(f"payment/{n}",),
            key=f"{n}",
        )
        for n in (1, 2)
    ]
    taking = one.command("accrual", c.Accrue((lot(1),)), source="payment/2")
    fates = await one.ledger.execute_many([taking, *sales])
    refused = [fate for fate in fates if isinstance(fate, Refusal)]
    assert [fate.members["source"] for fate in refused] == ["sale/1", "payment/2"]


@pytest.mark.parametrize(
    "defect",
    [lambda view: 1 / 0, lambda view: (c.Redeem(-1),), lambda view: view.facts["nothing"]],
)
async def test_a_plan_that_fails_fails_alone(
    one: Customer, defect: Callable[[c.View], Any]
) -> None:
    commands = [
        one.command("redemption", plan=defect),
        one.command("accrual", c.Accrue((lot(7),))),
    ]
    first, _ = await one.ledger.execute_many(commands)
    assert isinstance(first, Exception)
    assert await one.available() == 7
