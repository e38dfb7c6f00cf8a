"""D5: atomicity, limits and concurrency, as TigerBeetle, Blnk, medici and Formance publish them.

Elsewhere: Blnk's six invariants are the state machine's (test_machine.py); Formance's stress,
twice reverted at once, and jack_hammer's 20 processes are in test_concurrency.py, without a cache
to flush: our balances are rows of the same transaction.
"""

from __future__ import annotations

import asyncio
from uuid import uuid4

import pytest

from ledger import commands as c
from ledger.decide import Outcome
from ledger.errors import Refusal, TooLarge
from ledger.group import Aborted, Result
from ledger.model import Transaction
from ledger.service import Ledger
from tests.conftest import TestDatabase
from tests.ledger.conftest import Clock
from tests.ledger.house import Customer, assert_clean, processes, taken


@pytest.fixture
def one(ledger: Ledger, clock: Clock) -> Customer:
    return Customer(ledger, clock)


async def test_a_chain_fails_whole_then_15_alone(one: Customer) -> None:
    """TigerBeetle: limit 20, chain [15, invalid] moves nothing; then 15 alone → used 15."""
    await one.give(20)
    fifteen = one.command("redemption", c.Redeem(15), source="15")
    invalid = one.command("capture", c.Capture(uuid4()))
    for chain in ([fifteen, invalid], [invalid, fifteen]):
        with pytest.raises(Aborted) as aborted:
            await one.ledger.execute_whole(chain)
        codes = [fate.code if isinstance(fate, Refusal) else "ok" for fate in aborted.value.fates]
        assert sorted(codes) == ["hold_not_found", "ok"]
        assert await one.available() == 20
        assert len(await one.history()) == 1
    (fate,) = await one.ledger.execute_whole([fifteen])
    assert isinstance(fate, Result)
    assert fate.succeeded
    assert await one.available() == 5


async def test_links_of_a_chain_see_each_other(one: Customer) -> None:
    """15 and 15 of 20 fail whole, though each alone would do."""
    await one.give(20)
    fifteen = one.command("redemption", c.Redeem(15))
    with pytest.raises(Aborted) as aborted:
        await one.ledger.execute_whole([fifteen, fifteen])
    refusal = aborted.value.fates[1]
    assert isinstance(refusal, Refusal)
    assert refusal.members == {"available": 5}
    assert await one.available() == 20


async def test_a_chain_longer_than_a_group_may_be_is_refused_before_its_end(
    database: TestDatabase, clock: Clock
) -> None:
    """Nobody waits for thousands of postings, not even to hear that they were refused."""
    async with Ledger(database.url, clock=clock, bulk_group_postings=10) as ledger:
        one = Customer(ledger, clock)
        decided: list[Outcome] = []

        def count(outcome: Outcome) -> c.Completion:
            decided.append(outcome)
            return c.Completion()

        four = c.Accrue(tuple(c.Grant("base", ((None, 5),)) for _ in range(4)))
        chain = [one.command("accrual", four, complete=count)] * 100
        with pytest.raises(TooLarge, match="10 postings"):
            await ledger.execute_whole(chain)
        assert (len(decided), await one.available()) == (3, 0)
        await ledger.execute_whole(chain[:3])
        assert (ledger.bulk_lane.groups, await one.available()) == (1, 60)
        await ledger.execute_many(chain)
        assert await one.available() == 60 + 2000


async def test_a_group_ends_where_it_has_looked_through_too_many_lots(
    one: Customer, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Each command goes through all lots of its customer: a thousand of one who has thousands
    would take as long as a million."""
    monkeypatch.setattr("ledger.group.MOST_LOTS", 50)
    two = c.Accrue(tuple(c.Grant("base", ((None, 5),)) for _ in range(2)))
    chain = [one.command("accrual", two)] * 20
    with pytest.raises(TooLarge, match="50 lots"):
        await one.ledger.execute_whole(chain)
    assert await one.available() == 0
    await one.ledger.execute_whole(chain[:7])
    fates = await one.ledger.execute_many(chain)
    assert all(isinstance(fate, Result) for fate in fates)
    assert await one.available() == 270
    assert one.ledger.bulk_lane.groups == 1 + 3


async def test_a_chain_over_customers_that_the_database_rejects(one: Customer) -> None:
    other = Customer(one.ledger, one.clock)
    good = one.command("accrual", c.Accrue((c.Grant("base", ((None, 5),)),)))
    poison = other.command("accrual", c.Accrue((c.Grant("base", ((None, 5),)),)), reason="\0")
    with pytest.raises(Exception, match="0x00"):
        await one.ledger.execute_whole([good, poison])
    assert (await one.available(), await other.available()) == (0, 0)
    await one.ledger.execute_whole([good])
    assert await one.available() == 5


@pytest.mark.parametrize(
    ("lots", "left"), [((40, 40, 21), [0, 0, 1]), ((40, 40, 19), [40, 40, 19])]
)
async def test_100_from_several_lots(one: Customer, lots: tuple[int, ...], left: list[int]) -> None:
    """Multi-debit: 40/40/20 is taken, or nothing moves."""
    grants = [await one.give(points) for points in lots]
    if sum(lots) < 100:
        with pytest.raises(Refusal, match=r"0\.99 points may be spent"):
            await one.redeem(100)
    else:
        assert taken(await one.redeem(100), *grants) == [40, 40, 20]
    assert await one.left(*grants) == left


async def test_take_what_there_is(one: Customer) -> None:
    """Balancing: pending 1, credit 10: ask 3 → 3, ask 13 → 6, ask 1 → 0."""
    grant = await one.give(10)
    await one.hold(1, 60)
    took = [
        taken(await one.do("redemption", c.Redeem(c.MAX, at_most)), grant) for at_most in (3, 13, 1)
    ]
    assert took == [[3], [6], [0]]
    state = await one.state()
    assert (state.available, state.held) == (0, 1)


async def test_concurrent_credits(one: Customer, database: TestDatabase, clock: Clock) -> None:
    """Blnk #238: 500 + 100 + 50 → 650 (the defect gave 550)."""
    async with processes(database, clock, 3) as ledgers:
        await asyncio.gather(
            *(one.at(own).give(n) for own, n in zip(ledgers, (500, 100, 50), strict=True))
        )
    assert await one.available() == 650
    assert [t.version for t in await one.history()] == [1, 2, 3]
    await assert_clean(database)


async def test_double_spend_by_two_sessions(
    one: Customer, database: TestDatabase, clock: Clock
) -> None:
    """medici: exactly one succeeds."""
    async with processes(database, clock, 2) as ledgers:
        for _ in range(10):
            await one.give(100)
            fates = await asyncio.gather(
                *(one.at(each).redeem(100) for each in ledgers), return_exceptions=True
            )
            assert sum(isinstance(fate, Transaction) for fate in fates) == 1
            assert [f.code for f in fates if isinstance(f, Refusal)] == ["insufficient_points"]
            assert await one.available() == 0
    await assert_clean(database)
