"""Races on real commits, between ledgers as several API processes would run them."""

from __future__ import annotations

import asyncio
from collections import Counter
from collections.abc import AsyncIterator, Sequence
from typing import Any

import pytest

from ledger import commands as c
from ledger.errors import Refusal
from ledger.group import Result
from ledger.ids import uuid7
from ledger.model import Transaction
from ledger.selection import Selection
from ledger.service import Ledger
from ledger.totals import trial_balance
from tests.conftest import TestDatabase
from tests.ledger.conftest import Clock
from tests.ledger.house import Customer, assert_clean, own, processes


@pytest.fixture
async def ledgers(database: TestDatabase, clock: Clock) -> AsyncIterator[Sequence[Ledger]]:
    async with processes(database, clock, 5) as running:
        yield running


async def at_once(*work: Any) -> tuple[list[Any], Counter[str]]:
    """What succeeded, and how often each refusal was heard. Nothing else may happen."""
    fates = await asyncio.gather(*work, return_exceptions=True)
    for fate in fates:
        if isinstance(fate, BaseException) and not isinstance(fate, Refusal):
            raise fate
    return (
        [fate for fate in fates if not isinstance(fate, Refusal)],
        Counter(fate.code for fate in fates if isinstance(fate, Refusal)),
    )


async def test_t45_20_redemptions_of_a_whole_balance(
    ledgers: Sequence[Ledger], clock: Clock, database: TestDatabase
) -> None:
    """T45, C29: exactly one succeeds, 19 are rejected, the balance is 0."""
    one = Customer(ledgers[0], clock)
    await one.give(100)
    done, refused = await at_once(*(one.at(ledgers[n % 5]).redeem(100) for n in range(20)))
    assert (len(done), refused) == (1, {"insufficient_points": 19})
    assert await one.available() == 0
    await assert_clean(database)


async def test_the_same_key_50_times(
    ledgers: Sequence[Ledger], clock: Clock, database: TestDatabase
) -> None:
    """T46, C12: one transaction, 50 equal answers; the first of them also of a new customer."""
    one = Customer(ledgers[0], clock)

    def keyed(points: int, key: str) -> c.Command:
        return one.command(
            "accrual",
            c.Accrue((c.Grant("base", ((None, points),)),)),
            key=key,
            fingerprint=b"%d" % points,
            complete=lambda outcome: c.Completion(c.Answer(201, uuid7().bytes)),
        )

    for key in ("a", "b"):
        results = await asyncio.gather(*(ledgers[n % 5].execute(keyed(10, key)) for n in range(50)))
        assert len({result.answer for result in results}) == 1
        assert Counter(result.replayed for result in results) == {True: 49, False: 1}
    assert [t.version for t in await one.history()] == [1, 2]
    assert await one.available() == 20
    await assert_clean(database)


async def test_500_transactions_each_reversed_twice(
    ledgers: Sequence[Ledger], clock: Clock, database: TestDatabase
) -> None:
    """Formance's stress: 500 succeed, 500 are refused, the sum is 0."""
    people = [Customer(ledgers[n % 5], clock) for n in range(20)]
    for one in people:
        await one.give(1000)
    fates = await ledgers[0].execute_many(
        [
            person.command("redemption", c.Redeem(10))
            if n % 2
            else person.command("accrual", c.Accrue((c.Grant("promo", ((None, 7),)),)))
            for n in range(25)
            for person in people
        ]
    )
    pairs = []
    for n, fate in enumerate(fates):
        assert isinstance(fate, Result)
        pairs.append((people[n % 20], own(fate.outcome)))
    assert len(pairs) == 500
    done, refused = await at_once(
        *(
            one.at(ledgers[(n + i) % 5]).reverse(t)
            for n, (one, t) in enumerate(pairs)
            for i in (0, 1)
        )
    )
    assert (len(done), refused) == (500, {"already_reversed": 500})
    assert {t.corrects for t in done} == {t.id for _, t in pairs}
    for one in people:
        state = await one.state()
        assert (state.available, state.promo, state.debt) == (1000, 0, 0)
    await assert_clean(database)


async def test_transfers_in_a_ring(
    ledgers: Sequence[Ledger], clock: Clock, database: TestDatabase
) -> None:
    """jack_hammer: no deadlock surfaces, the sum stays. Some of the ring are new to the ledger."""
    ring = [Customer(ledgers[0], clock) for _ in range(6)]
    for one in ring[:3]:
        await one.give(1000)
    transfers = [
        ring[n].at(ledger).transfer(ring[(n + step) % 6], 10)
        for n in range(6)
        for step in (1, 5, 3)
        for ledger in ledgers
        for _ in range(4)
    ]
    done, refused = await at_once(*transfers)
    assert len(done) >= 200
    assert set(refused) <= {"insufficient_points"}
    assert sum([await one.available() for one in ring]) == 3000
    totals = {t.account: t for t in await trial_balance(ledgers[0], Selection())}
    assert totals["clearing"].debit == totals["clearing"].credit == 10 * len(done)
    report = await assert_clean(database)
    assert report.transactions == 3 + 2 * len(done)


async def test_transfers_to_and_fro_in_groups(
    ledgers: Sequence[Ledger], clock: Clock, database: TestDatabase
) -> None:
    """Whole groups that lock the same customers from both ends."""
    people = [Customer(ledgers[0], clock) for _ in range(40)]
    for one in people:
        await one.give(1000)

    def sweep(order: Sequence[Customer]) -> list[c.Command]:
        pairs = zip(order, [*order[1:], order[0]], strict=True)
        return [one.command("transfer_out", c.Transfer(to.id, 10)) for one, to in pairs]

    answers = await asyncio.gather(
        *(
            ledger.execute_many(sweep(people if n % 2 else people[::-1]) * 3)
            for n, ledger in enumerate(ledgers)
        )
    )
    fates = [fate for answer in answers for fate in answer]
    assert all(isinstance(fate, Result) for fate in fates)
    assert sum([await one.available() for one in people]) == 40_000
    await assert_clean(database)


async def test_a_source_posted_by_two_processes(
    ledgers: Sequence[Ledger], clock: Clock, database: TestDatabase
) -> None:
    """C13: one receipt, two tills' keys, the same customer: one accrual."""
    one = Customer(ledgers[0], clock)
    for n in range(5):
        grant = c.Grant("base", ((None, 10),))
        done, refused = await at_once(
            *(
                one.at(ledger).accrue(grant, source=f"receipt {n}", key=f"{n} of {till}")
                for till, ledger in enumerate(ledgers)
            )
        )
        assert (len(done), refused) == (1, {"source_exists": 4})
    assert await one.available() == 50
    await assert_clean(database)


async def test_a_mixture_at_once_keeps_every_history_whole(
    ledgers: Sequence[Ledger], clock: Clock, database: TestDatabase
) -> None:
    """Holds ended twice, returns beside sales, all of three customers from five processes."""
    people = [Customer(ledgers[0], clock) for _ in range(3)]
    work: list[Any] = []
    for one in people:
        earned = await one.give(500)
        spent = await one.redeem(100)
        hold = await one.hold(100, 60)
        for ledger in ledgers:
            here = one.at(ledger)
            work += [here.capture(hold, 40), here.release(hold), here.restore(spent, 30)]
            work += [here.revoke(earned), here.redeem("max"), here.give(20), here.hold(50, 60)]
    done, refused = await at_once(*work)
    ended = [t for t in done if isinstance(t, Transaction) and t.kind in ("capture", "release")]
    assert len(ended) == 3
    assert refused["hold_not_open"] == 3 * 9
    restored = [t for t in done if isinstance(t, Transaction) and t.kind == "restoration"]
    assert len(restored) == 3 * 3, "three times 30 of 100"
    assert refused["correction_exceeds"] == 3 * 2
    await assert_clean(database)
