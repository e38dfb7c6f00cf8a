"""What two processes take at once, and what one command may not do to its neighbours."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable
from typing import Any, cast

import pytest

from ledger import commands as c
from ledger.errors import KeyReused, Refusal, Unavailable
from ledger.group import Result
from ledger.ids import uuid7
from ledger.model import Transaction
from ledger.service import Ledger
from tests.conftest import TestDatabase
from tests.ledger.conftest import Clock
from tests.ledger.house import Customer, assert_clean, processes
from tests.ledger.test_cases_d4 import asked
from tests.ledger.test_lane import RIDER, broken, give, held


async def test_same_key_concurrently_for_other_customers(
    ledger: Ledger, clock: Clock, database: TestDatabase
) -> None:
    """No lock of a customer's is in common: the key alone must tell them apart."""
    others = [Customer(ledger, clock) for _ in range(4)]
    for other in others:
        await other.give(100)
    async with processes(database, clock, 4) as ledgers:
        for attempt in range(5):
            fates = await asyncio.gather(
                *(
                    ledger.execute(asked(other.id, c.Redeem(3), f"key {attempt}"))
                    for ledger, other in zip(ledgers, others, strict=True)
                ),
                return_exceptions=True,
            )
            assert sum(isinstance(fate, Result) for fate in fates) == 1
            assert [type(f) for f in fates if not isinstance(f, Result)] == [KeyReused] * 3
    assert sum([await other.available() for other in others]) == 400 - 5 * 3


async def test_the_same_refusal_without_a_customer_concurrently(
    clock: Clock, database: TestDatabase
) -> None:
    """An unknown card, asked for twice at once: no customer, so no lock, but one answer."""

    def unknown(key: str) -> c.Command:
        return c.Command(
            customer_id=None,
            kind="redemption",
            occurred_at=clock(),
            key=key,
            fingerprint=b"same",
            refusal=Refusal("not_found", "There is no such card."),
            refuse=lambda refusal: c.Answer(404, str(uuid7()).encode()),
        )

    async with processes(database, clock, 4) as ledgers:
        for attempt in range(5):
            results = await asyncio.gather(
                *(ledger.execute(unknown(f"key {attempt}")) for ledger in ledgers)
            )
            assert len({result.answer for result in results}) == 1


async def test_a_source_posted_for_two_customers_at_once(
    clock: Clock, database: TestDatabase
) -> None:
    """One receipt number for two customers from several tills: one, the rest hear so."""
    async with processes(database, clock, 4) as ledgers:
        people = [Customer(ledger, clock) for ledger in ledgers]
        for one in people:
            await one.give(1)
        for attempt in range(5):
            fates = await asyncio.gather(
                *(
                    one.accrue(c.Grant("base", ((None, 10),)), source=f"receipt {attempt}")
                    for one in people
                ),
                return_exceptions=True,
            )
            assert sum(isinstance(fate, Transaction) for fate in fates) == 1
            codes = [getattr(f, "code", repr(f)) for f in fates if not isinstance(f, Transaction)]
            assert codes == ["source_exists"] * 3
    await assert_clean(database)


POISONS: dict[str, Callable[[Customer], c.Command]] = {
    "a rider of the wrong width": lambda one: give(
        one,
        complete=lambda outcome: c.Completion(None, ((c.Statement("r", RIDER.sql, 2), (1, 2)),)),
    ),
    "a refusal that cannot be told": lambda one: one.command(
        "redemption", c.Redeem(10**9), refuse=broken, key="k"
    ),
    "a completion that is none": lambda one: give(one, complete=lambda _: cast(Any, None)),
}


@pytest.mark.parametrize("poison", POISONS.values(), ids=POISONS)
async def test_a_callers_defect_fails_alone(
    ledger: Ledger, clock: Clock, database: TestDatabase, poison: Callable[[Customer], c.Command]
) -> None:
    victim, *others = (Customer(ledger, clock) for _ in range(3))
    await victim.give(100)
    group = [give(victim), give(others[0]), poison(victim), give(victim), give(others[1])]
    fates = await ledger.execute_many(group)
    assert [isinstance(fate, Result) for fate in fates] == [True, True, False, True, True], fates


async def test_a_locked_customer_delays_256_neighbours_less_than_a_till_waits(
    ledger: Ledger, clock: Clock, database: TestDatabase
) -> None:
    locked, *others = (Customer(ledger, clock) for _ in range(256))
    async with held(database, locked):
        started = time.monotonic()
        group = [give(one) for one in (*others[:100], locked, *others[100:])]
        fates = await asyncio.gather(
            *(ledger.execute(one, timeout_s=60) for one in group), return_exceptions=True
        )
        took = time.monotonic() - started
    assert sum(isinstance(fate, Unavailable) for fate in fates) == 1
    assert took < 1.8
