"""Tampering that leaves every sum as it was: the audit names it all the same."""

from __future__ import annotations

from collections.abc import AsyncIterator
from typing import TypeAlias
from uuid import UUID

import asyncpg
import pytest

from ledger import commands as c
from ledger.service import Ledger
from tests.conftest import TestDatabase
from tests.ledger.conftest import Clock
from tests.ledger.house import Customer, assert_clean, audited

Connection: TypeAlias = "asyncpg.Connection[asyncpg.Record]"

CHANGES = {
    "bucket of a later posting": "UPDATE ledger.postings SET bucket = 'promo' WHERE version = 2",
    "expiry of a later posting": "UPDATE ledger.postings SET expires_at = now() WHERE version = 2",
    "program of a later posting": "UPDATE ledger.postings SET program = 'x' WHERE version = 2",
    "store of a posting": "UPDATE ledger.postings SET store = 'x' WHERE version = 2",
    "issued becomes adjustment": (
        "UPDATE ledger.postings SET kind = 'adjust', debit = 'adjustment' WHERE version = 1"
    ),
    "kind of a transaction": "UPDATE ledger.transactions SET kind = 'expiry' WHERE version = 2",
    "a hold of nobody": (
        "INSERT INTO ledger.holds"
        " SELECT gen_random_uuid(), gen_random_uuid(), 'open', now(), '{}', '{}', 0"
    ),
    "a source of another": "UPDATE ledger.sources SET transaction_id = gen_random_uuid()",
    "a correction of nothing": (
        "UPDATE ledger.transactions SET corrects = gen_random_uuid() WHERE version = 2"
    ),
    "a gap between postings": "UPDATE ledger.postings SET seq = 7 WHERE version = 2",
    "a due date that never comes": "UPDATE ledger.balances SET next_due = 'infinity'",
    "an expiry that never comes": (
        "WITH told AS (UPDATE ledger.postings SET expires_at = 'infinity')"
        " UPDATE ledger.lots SET expires_at = 'infinity' WHERE amount = 100"
    ),
    "a time of record that is none": (
        "WITH told AS (UPDATE ledger.postings SET recorded_at = '-infinity'),"
        " said AS (UPDATE ledger.transactions SET recorded_at = '-infinity')"
        " UPDATE ledger.balances SET recorded_at = NULL"
    ),
}


@pytest.fixture
async def tamper(database: TestDatabase) -> AsyncIterator[Connection]:
    """A superuser whom no trigger stops."""
    connection = await asyncpg.connect(
        database.superuser_url, server_settings={"session_replication_role": "replica"}
    )
    yield connection
    await connection.close()


@pytest.mark.parametrize("change", CHANGES.values(), ids=CHANGES)
async def test_the_audit_names_what_moves_no_sum(
    ledger: Ledger, clock: Clock, database: TestDatabase, tamper: Connection, change: str
) -> None:
    one = Customer(ledger, clock)
    await one.give(100)
    await one.redeem(30)
    await one.do("adjustment", c.Adjust(-5, "base"), source="document")
    await assert_clean(database)
    assert (await tamper.execute(change)).endswith(" 1")
    assert (await audited(database)).findings


@pytest.mark.parametrize(
    ("table", "wall", "change", "detail"),
    [
        ("transactions", "DROP CONSTRAINT transactions_kind_check", "kind = 'x'", "x is no kind"),
        ("transactions", "ALTER xid DROP NOT NULL", "xid = NULL", "still to come"),
        (
            "transactions",
            "DROP CONSTRAINT transactions_pkey, ALTER version DROP NOT NULL",
            "version = NULL",
            "no history",
        ),
        ("postings", "ALTER amount DROP NOT NULL", "amount = NULL", "no ledger has"),
    ],
)
async def test_the_audit_names_what_no_ledger_has(
    ledger: Ledger,
    clock: Clock,
    database: TestDatabase,
    tamper: Connection,
    table: str,
    wall: str,
    change: str,
    detail: str,
) -> None:
    one = Customer(ledger, clock)
    for _ in range(3):
        await one.give(1)
    await tamper.execute(f"ALTER TABLE ledger.{table} {wall}")
    await tamper.execute(f"UPDATE ledger.{table} SET {change} WHERE version = 2")
    assert any(detail in f.detail for f in (await audited(database)).findings)


async def test_a_debt_that_is_below_zero_for_a_moment_is_named(
    ledger: Ledger, clock: Clock, database: TestDatabase, tamper: Connection
) -> None:
    """A return is told in another order: the debt is paid before all of it is there."""
    one = Customer(ledger, clock)
    first = await one.give(100)
    spent = await one.redeem(100)
    await one.revoke(first)
    second = await one.give(20)
    await one.do("return", c.Revoke(second.id, None, "debt"), c.Restore(spent.id, None))
    await assert_clean(database)
    for seq, kind in ((-3, "revoke"), (1, "restore"), (2, "settle"), (3, "revoke")):
        await tamper.execute(
            "UPDATE ledger.postings SET seq = $1 WHERE version = 5 AND kind = $2", seq, kind
        )
    findings = (await audited(database)).findings
    assert "leaves a debt below zero" in findings[0].detail


async def test_a_hold_that_ends_twice_while_another_stays_open_is_named(
    ledger: Ledger, clock: Clock, database: TestDatabase, tamper: Connection
) -> None:
    """Every lot and every sum is as it was; only nothing is held for the hold that is open."""
    one = Customer(ledger, clock)
    await one.give(100)
    first, second = await one.hold(40, 60), await one.hold(40, 60)
    await one.capture(first)
    await one.capture(second)
    await assert_clean(database)
    for change in (
        "UPDATE ledger.transactions SET hold_id = $1 WHERE hold_id = $2 AND kind = 'capture'",
        "UPDATE ledger.holds SET status = 'open', captured = 0 WHERE id = $2 AND id <> $1",
        "UPDATE ledger.balances SET next_due = (SELECT expires_at FROM ledger.holds"
        " WHERE id = $2 AND id <> $1)",
    ):
        await tamper.execute(change, first, second)
    found = [(f.what, f.detail) for f in (await audited(database)).findings]
    assert found == [("balance", "has 0 held, but its open holds say 40")]


async def test_a_lot_in_two_pieces_is_named(
    ledger: Ledger, clock: Clock, database: TestDatabase, tamper: Connection
) -> None:
    """No key was left to refuse it, and a lot whose id ends alike lies in between."""
    one = Customer(ledger, clock)
    lots = [UUID(int=1 << 100 | 7), UUID(int=2 << 100 | 7), UUID(int=1 << 100 | 7)]
    await tamper.execute("ALTER TABLE ledger.lots DROP CONSTRAINT lots_pkey")
    for amount, lot in enumerate(lots, 1):
        await one.give(amount)
        await tamper.execute("UPDATE ledger.lots SET id = $2 WHERE amount = $1", amount, lot)
        await tamper.execute(
            "UPDATE ledger.postings SET lot_id = $2 WHERE amount = $1", amount, lot
        )
    findings = (await audited(database)).findings
    assert {(f.what, f.which) for f in findings} == {("lot", str(lots[0]))}


async def test_a_row_that_is_there_twice_hides_nobody_else(
    ledger: Ledger, clock: Clock, database: TestDatabase, tamper: Connection
) -> None:
    """As many postings as transactions say, but those of the second are with somebody else."""
    one, other, nobody = [Customer(ledger, clock, UUID(int=at << 100)) for at in (1, 2, 3)]
    for each in (one, other, nobody):
        await each.give(3)
    for command in (
        "ALTER TABLE ledger.transactions DROP CONSTRAINT transactions_pkey",
        "DROP INDEX ledger.transactions_id_key",
    ):
        await tamper.execute(command)
    for command, customer in (
        ("INSERT INTO ledger.transactions SELECT * FROM ledger.transactions WHERE {}", one),
        ("UPDATE ledger.postings SET amount = 5 WHERE {}", other),
        ("DELETE FROM ledger.transactions WHERE {}", nobody),
    ):
        await tamper.execute(command.format("customer_id = $1"), customer.id)
    # What `nobody` was given is told as if it were what `other` was.
    await tamper.execute(
        "UPDATE ledger.postings SET lot_id = p.lot_id FROM ledger.postings p"
        " WHERE postings.customer_id = $1 AND p.customer_id = $2", nobody.id, other.id,
    )  # fmt: skip
    findings = (await audited(database)).findings
    assert {one.id, other.id} == {f.customer_id for f in findings if f.what == "transaction"}
    assert nobody.id in {f.customer_id for f in findings if f.what == "posting"}
