"""What time does has a place: of the store that gave the points, or that holds them.

So a trial balance by store adds up: what a store deferred and held becomes nothing there.
"""

from __future__ import annotations

from collections import defaultdict
from typing import Any, Final
from uuid import UUID

import asyncpg
import pytest

from ledger import commands as c
from ledger.rebuild import rebuild
from ledger.screening import screen
from ledger.selection import Selection
from ledger.service import Ledger
from ledger.sweep import post_due
from ledger.totals import trial_balance
from tests.conftest import TestDatabase
from tests.ledger.conftest import Clock
from tests.ledger.house import Customer, assert_clean, audited, lot

FIRST: Final[dict[str, Any]] = {"channel": "shop", "store": "m1"}
SECOND: Final[dict[str, Any]] = {"channel": "shop", "store": "m2"}


async def by_store(ledger: Ledger) -> dict[str, dict[str | None, int]]:
    """What each account has, by store; nothing is left out."""
    found: dict[str, dict[str | None, int]] = defaultdict(dict)
    for total in await trial_balance(ledger, Selection(), ("store",)):
        if total.credit != total.debit:
            found[total.account][total.dimensions[0]] = total.credit - total.debit
    return found


@pytest.fixture
def one(ledger: Ledger, clock: Clock) -> Customer:
    return Customer(ledger, clock)


async def test_activation_and_expiry_are_told_of_the_store_that_gave_the_points(
    one: Customer, clock: Clock, ledger: Ledger, database: TestDatabase
) -> None:
    await one.accrue(lot(500, active=10, expires=50), **FIRST)
    await one.accrue(lot(300, active=10, expires=50), **SECOND)
    await one.accrue(lot(70, active=10, expires=50))
    assert (await by_store(ledger))["deferred"] == {"m1": 500, "m2": 300, None: 70}
    clock.seconds = 20
    assert await post_due(ledger) == 1
    accounts = await by_store(ledger)
    assert accounts["available"] == {"m1": 500, "m2": 300, None: 70}
    assert "deferred" not in accounts
    spent = await one.redeem(120, **SECOND)
    assert {posting.store for posting in spent.postings} == {"m2"}, "paid there, given at m1"
    clock.seconds = 60
    assert await post_due(ledger) == 1
    assert (await by_store(ledger))["expired"] == {"m1": 380, "m2": 300, None: 70}
    activation, expiry = [t for t in await one.history() if t.kind in ("activation", "expiry")]
    for done in (activation, expiry):
        assert (done.channel, done.store) == (None, None), "no till did it"
        assert len(done.postings) == 3
        assert {p.channel for p in done.postings} == {"shop", None}
    await assert_clean(database)


async def test_the_end_of_a_hold_is_told_of_the_store_that_held(
    one: Customer, clock: Clock, ledger: Ledger, database: TestDatabase
) -> None:
    await one.accrue(lot(500), **FIRST)
    held = await one.do("hold", c.PlaceHold(200, clock.at(30)), **SECOND)
    assert (await by_store(ledger))["held"] == {"m2": 200}
    clock.seconds = 40
    await post_due(ledger)
    accounts = await by_store(ledger)
    assert "held" not in accounts
    assert accounts["available"] == {"m1": 500}
    ended = (await one.history())[-1]
    assert (ended.kind, ended.hold_id, ended.store) == ("hold_expiry", held.id, "m2")
    await assert_clean(database)


async def test_transferred_points_keep_the_store_that_gave_them(
    one: Customer, clock: Clock, ledger: Ledger, database: TestDatabase
) -> None:
    other = Customer(ledger, clock)
    await one.accrue(lot(500, expires=50), **FIRST)
    await one.transfer(other, 200)
    assert (await by_store(ledger))["available"] == {"m1": 500}
    clock.seconds = 60
    assert await post_due(ledger) == 2
    accounts = await by_store(ledger)
    assert accounts["expired"] == {"m1": 500}
    assert accounts.keys() == {"issued", "expired"}
    await assert_clean(database)


async def test_places_are_made_anew_from_the_journal(
    one: Customer, clock: Clock, ledger: Ledger, database: TestDatabase
) -> None:
    await one.accrue(lot(500, active=10, expires=50), **FIRST)
    await one.accrue(lot(5), **SECOND)
    await one.do("hold", c.PlaceHold(2, clock.at(30)), **SECOND)
    superuser = await asyncpg.connect(database.superuser_url)
    for table in ("lots", "holds"):
        await superuser.execute(f"UPDATE ledger.{table} SET channel = NULL, store = 'm9'")
    assert {finding.what for finding in (await audited(database)).findings} == {"lot", "hold"}
    owner = await asyncpg.connect(database.owner_url)
    assert (await rebuild(owner, superuser)).repaired == [one.id]
    await owner.close()
    await superuser.close()
    clock.seconds = 60
    await post_due(ledger)
    accounts = await by_store(ledger)
    assert accounts["expired"] == {"m1": 500}
    assert accounts["available"] == {"m2": 5}
    await assert_clean(database)


@pytest.mark.parametrize(("place", "clean"), [("NULL", True), ("'m1'", True), ("'m2'", False)])
async def test_the_audit_knows_which_places_are_possible(
    one: Customer, clock: Clock, ledger: Ledger, database: TestDatabase, place: str, clean: bool
) -> None:
    """An activation of the time before places were kept names none; another's place is a fault."""
    await one.accrue(lot(500, active=10), **FIRST)
    clock.seconds = 20
    await post_due(ledger)
    superuser = await asyncpg.connect(database.superuser_url)
    await superuser.execute("SET session_replication_role = replica")
    channel = "NULL" if place == "NULL" else "'shop'"
    await superuser.execute(
        f"UPDATE ledger.postings SET channel = {channel}, store = {place} WHERE kind = 'activate'"
    )
    await superuser.close()
    findings = (await audited(database)).findings
    assert [finding.detail for finding in findings] == (
        [] if clean else ["its activate names another channel or store"]
    )


async def test_the_quick_look_knows_the_places_of_a_whole_life(
    one: Customer, clock: Clock, ledger: Ledger, database: TestDatabase
) -> None:
    """Whoever it suspects is only looked at again: an audit would be right, and slow."""
    other = Customer(ledger, clock)
    await one.accrue(lot(500, active=10, expires=50), **FIRST)
    await one.accrue(lot(5), **SECOND)
    await one.do("hold", c.PlaceHold(2, clock.at(30)), **SECOND)
    clock.seconds = 20
    await one.redeem(120, **SECOND)
    await one.transfer(other, 100)
    clock.seconds = 60
    await post_due(ledger)
    superuser = await asyncpg.connect(database.superuser_url)
    await superuser.execute("SET session_replication_role = replica")

    async def suspects() -> list[UUID]:
        async with superuser.transaction():
            pages = [page async for page in screen(superuser, [one.id, other.id])]
        return [customer for page in pages for customer in page.suspects]

    assert await suspects() == []
    for table, where in (("postings", "kind = 'expire'"), ("lots", "true"), ("holds", "true")):
        undone = superuser.transaction()
        await undone.start()
        await superuser.execute(
            f"UPDATE ledger.{table} SET store = 'm9' WHERE customer_id = $1 AND {where}", one.id
        )
        assert await suspects() == [one.id], table
        await undone.rollback()
    await superuser.close()
