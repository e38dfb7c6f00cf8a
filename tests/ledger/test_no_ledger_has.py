"""Values that no ledger has do not stop an audit, and hide neither themselves nor others."""

from __future__ import annotations

import asyncpg

from ledger import commands as c
from ledger.audit import Scope, audit
from ledger.rebuild import rebuild
from ledger.service import Ledger
from tests.conftest import TestDatabase
from tests.ledger.conftest import Clock
from tests.ledger.house import Customer, assert_clean, audited, lot
from tests.ledger.tampering import take_walls_down

_ALL_TIMES = (
    "UPDATE ledger.transactions SET recorded_at = '-infinity' WHERE customer_id = '{one}'",
    "UPDATE ledger.postings SET recorded_at = '-infinity' WHERE customer_id = '{one}'",
    "UPDATE ledger.balances SET recorded_at = NULL WHERE customer_id = '{one}'",
)
_NO_DUE = "UPDATE ledger.balances SET next_due = NULL WHERE customer_id = '{one}'"
CHANGES = {
    "due in infinity, beside nothing that is due": (
        "UPDATE ledger.balances SET next_due = 'infinity' WHERE customer_id = '{one}'",
    ),
    "no due date, beside a hold until infinity": (
        "UPDATE ledger.transactions SET hold_expires_at = 'infinity'"
        " WHERE customer_id = '{one}' AND kind = 'hold' AND version = 5",
        "UPDATE ledger.holds SET expires_at = 'infinity' WHERE customer_id = '{one}'"
        " AND status = 'open'",
        _NO_DUE,
    ),
    "no due date, beside a lot until infinity": (
        "UPDATE ledger.postings SET expires_at = 'infinity' WHERE customer_id = '{one}'"
        " AND bucket = 'base'",
        "UPDATE ledger.lots SET expires_at = 'infinity' WHERE customer_id = '{one}'"
        " AND bucket = 'base'",
    ),
    "never recorded": _ALL_TIMES,
    "a date beyond calendars": (
        "UPDATE ledger.lots SET expires_at = '294000-01-01' WHERE customer_id = '{one}'",
    ),
    "a date before calendars": (
        "UPDATE ledger.postings SET occurred_at = '4000-01-01 BC' WHERE customer_id = '{one}'",
    ),
    "a kind that is none": (
        "UPDATE ledger.transactions SET kind = 'gift' WHERE customer_id = '{one}' AND version = 2",
    ),
    "no amount": ("UPDATE ledger.postings SET amount = NULL WHERE customer_id = '{one}'",),
    "no version": (
        "UPDATE ledger.transactions SET version = NULL WHERE customer_id = '{one}' AND version = 2",
    ),
    "no time": ("UPDATE ledger.transactions SET recorded_at = NULL WHERE customer_id = '{one}'",),
    "a balance beyond 64 bits": (
        "UPDATE ledger.balances SET available = 9223372036854775807, deferred ="
        " 9223372036854775807 WHERE customer_id = '{one}'",
    ),
    "a lot beyond 64 bits": (
        "UPDATE ledger.lots SET available = 9223372036854775807, held = 9223372036854775807"
        " WHERE customer_id = '{one}'",
    ),
    "a hold of fewer lots": (
        "UPDATE ledger.holds SET lots = '{{}}' WHERE customer_id = '{one}' AND status = 'open'",
    ),
    "a hold of no lots": ("UPDATE ledger.holds SET lots = NULL WHERE customer_id = '{one}'",),
    "a balance twice": (
        "INSERT INTO ledger.balances SELECT * FROM ledger.balances WHERE customer_id = '{one}'",
    ),
    "a lot twice": (
        "INSERT INTO ledger.lots SELECT * FROM ledger.lots WHERE customer_id = '{one}'",
    ),
    "a hold twice": (
        "INSERT INTO ledger.holds SELECT * FROM ledger.holds WHERE customer_id = '{one}'",
    ),
    "a posting of a version that is not there": (
        "UPDATE ledger.postings SET version = 99, seq = 7 WHERE customer_id = '{one}'"
        " AND version = 2",
    ),
}


async def test_what_no_ledger_has_is_named(
    ledger: Ledger, clock: Clock, database: TestDatabase
) -> None:
    """Whatever is wrong with whom else, and of one customer alone."""
    names = {change: Customer(ledger, clock) for change in (*CHANGES, "nothing")}
    for one in names.values():
        await one.accrue(lot(100), lot(20, "promo"))
        await one.redeem(30)
        await one.capture(await one.hold(10, 60), 5)
    for change in ("no due date, beside a hold until infinity", "a hold of fewer lots"):
        await names[change].hold(3, 9)
    await assert_clean(database)
    superuser = await asyncpg.connect(database.superuser_url)
    async with superuser.transaction():
        await take_walls_down(superuser)
        for change, statements in CHANGES.items():
            for statement in statements:
                done = await superuser.execute(statement.format(one=names[change].id))
                assert not done.endswith(" 0"), change
    named = {finding.customer_id for finding in (await audited(database)).findings}
    assert [change for change, one in names.items() if one.id not in named] == ["nothing"]
    for change in CHANGES:
        assert (await audit(superuser, scope=Scope(customer=names[change].id))).findings, change
    await superuser.close()


async def test_a_debt_is_not_below_zero_between_two_postings(
    ledger: Ledger, clock: Clock, database: TestDatabase
) -> None:
    """A revocation leaves a debt; another one takes more, and lets points settle the first. Its
    postings in another order would settle a debt that had been paid."""
    one = Customer(ledger, clock)
    first, second = await one.give(10), await one.give(10)
    used = await one.redeem(20)
    await one.revoke(first)
    await one.give(10)
    assert (await one.state()).debt == 0
    spent = c.Restore(used.id, parts=((first.postings[0].lot_id, None, 10),))
    back = await one.do("return", c.Revoke(second.id), spent)
    assert [posting.kind for posting in back.postings] == ["revoke", "restore", "settle"]
    await assert_clean(database)
    superuser = await asyncpg.connect(
        database.superuser_url, server_settings={"session_replication_role": "replica"}
    )
    for seq in ("seq + 9", "seq - 9 + CASE kind WHEN 'revoke' THEN 2 ELSE -1 END"):
        await superuser.execute(f"UPDATE ledger.postings SET seq = {seq} WHERE version = $1", 6)
    await superuser.close()
    findings = (await audited(database)).findings
    assert findings[0].detail.endswith("leaves a debt below zero")


async def test_rebuild_puts_right_what_cannot_even_be_read(
    ledger: Ledger, clock: Clock, database: TestDatabase
) -> None:
    """… as the journal tells it; what is unreadable in the journal itself stays."""
    ways = {
        "UPDATE ledger.holds SET lots = '{{}}' WHERE customer_id = '{one}'": True,
        "UPDATE ledger.lots SET expires_at = '294000-01-01' WHERE customer_id = '{one}'": True,
        "UPDATE ledger.balances SET next_due = 'infinity' WHERE customer_id = '{one}'": True,
        "UPDATE ledger.balances SET recorded_at = '4000-1-1 BC' WHERE customer_id = '{one}'": True,
        "UPDATE ledger.transactions SET occurred_at = '294000-01-01' WHERE customer_id = '{one}'": (
            False
        ),
    }
    some = [Customer(ledger, clock) for _ in ways]
    superuser = await asyncpg.connect(
        database.superuser_url, server_settings={"session_replication_role": "replica"}
    )
    for one, way in zip(some, ways, strict=True):
        await one.give(100)
        await one.hold(10, 60)
        await superuser.execute(way.format(one=one.id))
    done = await rebuild(superuser, superuser)
    expected = dict(zip((one.id for one in some), ways.values(), strict=True))
    assert set(done.repaired) == {one for one, right in expected.items() if right}
    assert done.beyond == [one for one, right in expected.items() if not right]
    assert {finding.customer_id for finding in (await audited(database)).findings} == {some[-1].id}
    await superuser.close()
