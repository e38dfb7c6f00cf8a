"""D4: idempotency, as TigerBeetle, Formance, Midaz and Lago publish it.

The caller fingerprints its request; here as the API does: over everything that was asked.
"""

from __future__ import annotations

import asyncio
import hashlib
from typing import Any
from uuid import UUID, uuid4

import pytest

from ledger import commands as c
from ledger.decide import Outcome
from ledger.errors import KeyReused, Refusal
from ledger.group import Aborted, Result
from ledger.ids import uuid7
from ledger.service import Ledger
from tests.conftest import TestDatabase
from tests.ledger.conftest import Clock
from tests.ledger.house import Customer, assert_clean, moved, own, processes


def asked(customer: UUID, step: c.Step, key: str = "till-1", **more: Any) -> c.Command:
    """A request as the API makes it: what was answered is kept, and so is a refusal."""
    fields = {"kind": "redemption", "occurred_at": Clock.at(0), **more}
    fingerprint = hashlib.sha256(repr((customer, step, sorted(fields.items()))).encode()).digest()

    def complete(outcome: Outcome) -> c.Completion:
        assert outcome.transaction is not None
        return c.Completion(c.Answer(201, outcome.transaction.id.bytes))

    def refuse(refusal: Refusal) -> c.Answer:
        return c.Answer(409, f"{refusal.code} {uuid7()}".encode())

    return c.Command(
        customer_id=customer,
        steps=(step,),
        key=key,
        fingerprint=fingerprint,
        complete=complete,
        refuse=refuse,
        **fields,
    )


@pytest.fixture
async def one(ledger: Ledger, clock: Clock) -> Customer:
    made = Customer(ledger, clock)
    await made.give(100)
    return made


async def test_same_id_and_all_fields_exists(one: Customer) -> None:
    first = await one.result(asked(one.id, c.Redeem(30)))
    for _ in range(3):
        again = await one.result(asked(one.id, c.Redeem(30)))
        assert (again.answer, again.outcome, again.replayed) == (first.answer, None, True)
        assert again.succeeded
    assert await one.available() == 70


OTHER = uuid4()
CHANGED: list[tuple[str, dict[str, Any]]] = [
    ("amount", {"step": c.Redeem(31)}),
    ("amount, more than there is", {"step": c.Redeem(10**9)}),
    ("account, to a hold", {"step": c.PlaceHold(30, Clock.at(60))}),
    ("account, to an accrual", {"step": c.Accrue((c.Grant("base", ((None, 30),)),))}),
    ("customer, without points", {"customer": OTHER}),
    ("code", {"kind": "receipt"}),
    ("ledger, that is channel", {"channel": "site"}),
    ("store", {"store": "moscow-1"}),
    ("timestamp", {"occurred_at": Clock.at(-1)}),
    ("user data, that is reason", {"reason": "else"}),
    ("document", {"source": "receipt 1"}),
    ("flags, take what there is", {"step": c.Redeem("max")}),
    ("pending id", {"step": c.Capture(uuid4())}),
]


@pytest.mark.parametrize(("field", "change"), CHANGED, ids=[name for name, _ in CHANGED])
async def test_each_changed_field_is_a_conflict_before_any_balance_test(
    ledger: Ledger, clock: Clock, field: str, change: dict[str, Any]
) -> None:
    """TigerBeetle L1239, and Formance: same key, other body. Also when the first was refused."""
    one = Customer(ledger, clock)
    await one.give(100)
    request: dict[str, Any] = {"customer": one.id, "step": c.Redeem(30)}
    for key, step, after in (("yes", c.Redeem(30), 70), ("no", c.Redeem(1000), 70)):
        await one.result(asked(one.id, step, key))
        changed = asked(**{**request, **change, "key": key})
        with pytest.raises(KeyReused):
            await one.result(changed)
        assert await one.available() == after
    assert len(await one.history()) == 2
    assert not (await Customer(ledger, clock, OTHER).state()).version


async def test_refused_stays_refused_after_points_arrive(one: Customer) -> None:
    """`id_already_failed`: a retry never turns a printed no into a yes."""
    first = await one.result(asked(one.id, c.Redeem(150)))
    assert not first.succeeded
    await one.give(100)
    again = await one.result(asked(one.id, c.Redeem(150)))
    assert (again.answer, again.replayed) == (first.answer, True)
    assert await one.available() == 200
    assert (await one.result(asked(one.id, c.Redeem(150), "another"))).succeeded


async def test_same_key_concurrently(one: Customer, clock: Clock, database: TestDatabase) -> None:
    async with processes(database, clock, 3) as others:
        results = await asyncio.gather(
            *(others[n % 3].execute(asked(one.id, c.Redeem(30))) for n in range(9))
        )
    assert len({result.answer for result in results}) == 1
    assert sum(result.replayed for result in results) == 8
    assert await one.available() == 70
    await assert_clean(database)


async def test_same_key_twice_in_one_bulk(one: Customer) -> None:
    """stack#1633: independent or whole, the second hears the first's answer."""
    twice = [asked(one.id, c.Redeem(30)), asked(one.id, c.Redeem(30))]
    first, second = await one.ledger.execute_many(twice)
    assert isinstance(first, Result)
    assert isinstance(second, Result)
    assert (second.answer, second.replayed) == (first.answer, True)
    assert await one.available() == 70

    twice = [asked(one.id, c.Redeem(20), "whole") for _ in range(2)]
    first, second = await one.ledger.execute_whole(twice)
    assert isinstance(first, Result)
    assert isinstance(second, Result)
    assert (second.answer, second.replayed) == (first.answer, True)
    assert await one.available() == 50


async def test_same_key_other_body_in_one_bulk(one: Customer) -> None:
    both = [asked(one.id, c.Redeem(30), "a"), asked(one.id, c.Redeem(31), "a")]
    first, second = await one.ledger.execute_many(both)
    assert isinstance(first, Result)
    assert isinstance(second, KeyReused)
    both = [asked(one.id, c.Redeem(30), "b"), asked(one.id, c.Redeem(31), "b")]
    with pytest.raises(Aborted) as aborted:
        await one.ledger.execute_whole(both)
    assert isinstance(aborted.value.fates[1], KeyReused)
    assert await one.available() == 70


async def test_key_reused_on_revert(one: Customer) -> None:
    """formance#1601: the key of the redemption does not undo it; a key of its own does, once."""
    spent = own((await one.result(asked(one.id, c.Redeem(30)))).outcome)
    undo = c.Reverse(spent.id)
    with pytest.raises(KeyReused):
        await one.result(asked(one.id, undo, kind="reversal"))
    for _ in range(2):
        await one.result(asked(one.id, undo, "undo", kind="reversal"))
    assert await one.available() == 100
    assert moved((await one.history())[-1], "restore") == 30


async def restarted(
    database: TestDatabase, clock: Clock, customer: UUID, *points: int
) -> list[Result]:
    """Each accrual asked for twice before and twice after a restart."""
    results = []
    for _ in range(2):
        async with Ledger(database.url, clock=clock) as ledger:
            for n, amount in enumerate(points):
                step = c.Accrue((c.Grant("base", ((None, amount),)),))
                for _ in range(2):
                    request = asked(customer, step, f"{customer} {n}", kind="accrual")
                    results.append(await ledger.execute(request))
    return results


async def test_5_then_3_retried_across_restarts_is_8(
    ledger: Ledger, database: TestDatabase, clock: Clock
) -> None:
    """Midaz chaos: 8.00, not 11."""
    one = Customer(ledger, clock)
    results = await restarted(database, clock, one.id, 500, 300)
    assert [result.replayed for result in results].count(False) == 2
    assert await one.available() == 800


async def test_10_and_100_retried_is_110(
    ledger: Ledger, database: TestDatabase, clock: Clock
) -> None:
    """Lago #5870: 110, not 210."""
    one = Customer(ledger, clock)
    await restarted(database, clock, one.id, 10, 100)
    assert await one.available() == 110
    await assert_clean(database)
