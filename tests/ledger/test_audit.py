"""Tampering is named, by customer and row; projections are made anew from the journal."""

from __future__ import annotations

from collections.abc import AsyncIterator
from itertools import pairwise, product
from typing import Any, TypeAlias
from uuid import UUID

import asyncpg
import pytest

from ledger import commands as c
from ledger.audit import audit
from ledger.closer import fold, read_customers
from ledger.findings import Finding
from ledger.model import Transaction
from ledger.reads import balance_now
from ledger.rebuild import Rebuilt, rebuild
from ledger.screening import EVERYBODY, stretches
from ledger.service import Ledger
from ledger.sweep import post_due
from tests.conftest import TestDatabase
from tests.ledger.conftest import Clock
from tests.ledger.house import Customer, assert_clean, audited, lot

Connection: TypeAlias = "asyncpg.Connection[asyncpg.Record]"


class Life:
    """Customers with some of everything; all may be tampered with but the last, `other`."""

    def __init__(self, ledger: Ledger, clock: Clock, count: int) -> None:
        self.victims = [Customer(ledger, clock) for _ in range(count)]
        self.victim, self.other = self.victims[0], Customer(ledger, clock)
        self.clock = clock
        self.known: dict[UUID, dict[str, Transaction]] = {}

    async def live(self) -> None:
        for one in (*self.victims, self.other):
            now = self.clock.seconds
            know = self.known[one.id] = {}
            know["earned"] = await one.accrue(lot(500), source=f"sale of {one.id}")
            know["more"] = await one.accrue(
                lot(200, "promo", active=now + 50), lot(30, expires=now + 20)
            )
            know["spent"] = await one.redeem(100)
            know["held"] = await one.do("hold", c.PlaceHold(40, self.clock.at(10**6)))
            know["captured"] = await one.capture(await one.hold(60, 60), 25)
            self.clock.seconds += 60
            know["restored"] = await one.restore(know["spent"], 30)
            know["revoked"] = await one.revoke(know["earned"])
            know["adjusted"] = await one.do("adjustment", c.Adjust(700, "base"), reason="gift")
            if one is not self.other:
                await one.transfer(self.other, 5)


@pytest.fixture
def victims() -> int:
    return 1


@pytest.fixture
async def life(ledger: Ledger, clock: Clock, database: TestDatabase, victims: int) -> Life:
    made = Life(ledger, clock, victims)
    await made.live()
    await assert_clean(database)
    return made


@pytest.fixture
async def tamper(database: TestDatabase, life: Life) -> AsyncIterator[Connection]:
    """A superuser whom no trigger stops."""
    connection = await asyncpg.connect(
        database.superuser_url, server_settings={"session_replication_role": "replica"}
    )
    yield connection
    await connection.close()


async def found(database: TestDatabase, what: str) -> list[Finding]:
    return [finding for finding in (await audited(database)).findings if finding.what == what]


def version_of(finding: Finding) -> str:
    return finding.which.partition("version ")[2].rstrip(")")


JOURNAL = {
    "a posting's amount": "UPDATE ledger.postings SET amount = amount + 1 WHERE {row} AND seq = 1",
    "a posting's account": "UPDATE ledger.postings SET kind = 'accrue', debit = 'issued',"
    " credit = 'available' WHERE {row} AND seq = 1",
    "a deleted posting": "DELETE FROM ledger.postings WHERE {row} AND seq = 1",
    "a changed available_after": "UPDATE ledger.transactions SET available_after ="
    " available_after + 1 WHERE {row}",
    "a changed promo_after": "UPDATE ledger.transactions SET promo_after = promo_after + 1,"
    " available_after = available_after + 1 WHERE {row}",
    "a changed held_after": "UPDATE ledger.transactions SET held_after ="
    " held_after + 1 WHERE {row}",
    "a changed debt_after": "UPDATE ledger.transactions SET debt_after ="
    " debt_after + 1 WHERE {row}",
    "a changed deferred_after": "UPDATE ledger.transactions SET deferred_after ="
    " deferred_after + 1 WHERE {row}",
    "an earlier recorded_at": "UPDATE ledger.transactions SET recorded_at ="
    " recorded_at - interval '1 day' WHERE {row}",
}


WHICH = ("spent", "held", "captured", "revoked")


@pytest.mark.parametrize("victims", [len(JOURNAL) * len(WHICH)])
async def test_a_changed_journal_is_named_at_its_first_wrong_transaction(
    life: Life, tamper: Connection, database: TestDatabase
) -> None:
    changed = {}
    for one, (change, which) in zip(life.victims, product(JOURNAL.values(), WHICH), strict=True):
        row = changed[one.id] = life.known[one.id][which]
        where = f"customer_id = '{one.id}' AND version = {row.version}"
        assert await tamper.execute(change.format(row=where)) in ("UPDATE 1", "DELETE 1")
    named = {f.customer_id: f.which for f in await found(database, "transaction")}
    assert named == {one: f"{row.id} (version {row.version})" for one, row in changed.items()}
    assert len(await found(database, "transaction")) == len(named)
    assert life.other.id not in {f.customer_id for f in (await audited(database)).findings}


async def test_a_deleted_transaction_is_named_by_the_gap(
    life: Life, tamper: Connection, database: TestDatabase
) -> None:
    row, one = life.known[life.victim.id]["spent"], life.victim.id
    for postings_too in (False, True):
        for table in ("transactions", "postings")[: 1 + postings_too]:
            await tamper.execute(
                f"DELETE FROM ledger.{table} WHERE customer_id = $1 AND version = $2",
                one,
                row.version,
            )
        (finding,) = await found(database, "transaction")
        assert (finding.customer_id, version_of(finding)) == (one, str(row.version + 1))
        assert f"version {row.version} is missing" in finding.detail
        orphans = await found(database, "posting")
        assert [orphan.which for orphan in orphans] == (
            []
            if postings_too
            else [f"version {row.version}, seq {seq}" for seq, _ in enumerate(row.postings, 1)]
        )


async def test_a_deleted_newest_transaction_is_named_by_the_balance(
    life: Life, tamper: Connection, database: TestDatabase
) -> None:
    one = life.victim
    newest = (await one.history())[-1]
    for table in ("postings", "transactions"):
        await tamper.execute(
            f"DELETE FROM ledger.{table} WHERE customer_id = $1 AND version = $2",
            one.id,
            newest.version,
        )
    (finding,) = await found(database, "balance")
    assert finding.customer_id == one.id
    assert f"({newest.version}, " in finding.detail
    (transfer,) = await found(database, "transfer")
    assert transfer.which == str(newest.operation_id)


async def test_a_customer_deleted_from_the_journal_is_named(
    life: Life, tamper: Connection, database: TestDatabase
) -> None:
    for table in ("postings", "transactions"):
        await tamper.execute(f"DELETE FROM ledger.{table} WHERE customer_id = $1", life.victim.id)
    findings = (await audited(database)).findings
    named = {finding.what for finding in findings if finding.customer_id == life.victim.id}
    assert named >= {"balance", "lot", "source"}


async def test_an_inserted_transaction_is_named(
    life: Life, tamper: Connection, database: TestDatabase
) -> None:
    """Points out of nothing: a copy of an accrual at the end of the journal."""
    one, last = life.victim.id, (await life.victim.history())[-1]
    await tamper.execute(
        "INSERT INTO ledger.transactions (customer_id, version, id, operation_id, kind,"
        " occurred_at, recorded_at, available_after, promo_after, deferred_after, held_after,"
        " debt_after) SELECT customer_id, version + 1, gen_random_uuid(), id, 'accrual',"
        " occurred_at, recorded_at, available_after + 999, promo_after, deferred_after,"
        " held_after, debt_after FROM ledger.transactions WHERE customer_id = $1 AND version = $2",
        one,
        last.version,
    )
    (finding,) = await found(database, "transaction")
    assert (finding.customer_id, version_of(finding)) == (one, str(last.version + 1))
    await tamper.execute(
        "INSERT INTO ledger.postings SELECT p.customer_id, $2 + 1, 1, 'accrue', 'issued',"
        " 'available', 999, p.lot_id, p.bucket, p.active_from, p.expires_at, p.program,"
        " p.program_version, p.channel, p.store, p.product_group, t.occurred_at, t.recorded_at"
        " FROM ledger.postings p, ledger.transactions t WHERE p.customer_id = $1 AND p.version = 1"
        " AND t.customer_id = $1 AND t.version = $2",
        one,
        last.version,
    )
    # Now the journal is in itself right; the projections tell.
    assert await found(database, "transaction") == []
    assert [f.customer_id for f in await found(database, "balance")] == [one]
    assert [f.customer_id for f in await found(database, "lot")] == [one]


PROJECTIONS = {
    "balance": ("available", "promo", "deferred", "held", "debt", "version"),
    "lot": ("available", "redeemed", "amount", "occurred_at", "expires_at", "program", "store"),
    "hold": ("status", "captured", "expires_at", "amounts", "channel"),
}
OTHER = {
    "status": "'released'",
    "program": "'another'",
    "store": "'another'",
    "channel": "'another'",
    "amounts": "ARRAY[1]",
    "occurred_at": "occurred_at - interval '1 day'",
    "expires_at": "coalesce(expires_at, now()) + interval '1 day'",
}
CHANGED = [(what, name) for what, names in PROJECTIONS.items() for name in names]


@pytest.mark.parametrize("victims", [len(CHANGED)])
async def test_a_changed_projection_is_named(
    life: Life, tamper: Connection, database: TestDatabase
) -> None:
    """One balance, one lot, one hold; `rebuild` puts right those customers alone."""
    for what in PROJECTIONS:
        await tamper.execute(
            f"ALTER TABLE ledger.{what}s DROP CONSTRAINT IF EXISTS {what}s_bucket_check"
        )
    changed = set()
    for one, (what, column) in zip(life.victims, CHANGED, strict=True):
        table, key = f"ledger.{what}s", "customer_id" if what == "balance" else "id"
        row = await tamper.fetchval(
            f"UPDATE {table} SET {column} = {OTHER.get(column, f'{column} + 1')} WHERE {key} ="
            f" (SELECT {key} FROM {table} WHERE customer_id = $1 ORDER BY {key} LIMIT 1)"
            f" RETURNING {key}",
            one.id,
        )
        changed.add((what, one.id, "" if what == "balance" else str(row)))
    findings = (await audited(database)).findings
    assert {(f.what, f.customer_id, f.which) for f in findings} == changed
    assert len(findings) == len(changed)
    assert set((await rebuilt(database)).repaired) == {one.id for one in life.victims}
    await assert_clean(database)


@pytest.mark.parametrize("what", ["balance", "lot", "hold"])
async def test_a_deleted_projection_is_named(
    life: Life, tamper: Connection, database: TestDatabase, what: str
) -> None:
    await tamper.execute(f"DELETE FROM ledger.{what}s WHERE customer_id = $1", life.victim.id)
    findings = (await audited(database)).findings
    assert {(f.what, f.customer_id) for f in findings} == {(what, life.victim.id)}
    assert all("is missing" in finding.detail for finding in findings)


async def test_a_lot_out_of_nothing_is_named(
    life: Life, tamper: Connection, database: TestDatabase
) -> None:
    await tamper.execute(
        "INSERT INTO ledger.lots SELECT gen_random_uuid(), gen_random_uuid(), 'base', 1, now(),"
        " NULL, NULL, NULL, now(), 1, 0, 0, 0, 0, 0, 0, true"
    )
    (finding,) = await found(database, "lot")
    assert finding.detail == "belongs to a customer without transactions"


async def test_a_changed_source_is_named(
    life: Life, tamper: Connection, database: TestDatabase
) -> None:
    name = f"sale of {life.victim.id}"
    for statement in (
        "UPDATE ledger.sources SET source = source || '!' WHERE source = $1",
        "UPDATE ledger.transactions SET source = source || '?' WHERE source = $1",
        "DELETE FROM ledger.sources WHERE source = $1 || '!'",
        "UPDATE ledger.transactions SET source = NULL WHERE source = $1 || '?'",
    ):
        await tamper.execute(statement, name)
        findings = await found(database, "source")
        assert {f.customer_id for f in findings} <= {life.victim.id}
        assert all(name in f.which for f in findings)
        assert bool(findings) == ("NULL" not in statement)


async def test_a_posting_with_other_times_is_named(
    life: Life, tamper: Connection, database: TestDatabase
) -> None:
    row = life.known[life.victim.id]["spent"]
    for column in ("occurred_at", "recorded_at"):
        await tamper.execute(
            f"UPDATE ledger.postings SET {column} = {column} + interval '1 second'"
            " WHERE customer_id = $1 AND version = $2 AND seq = 1",
            life.victim.id,
            row.version,
        )
        (finding,) = await found(database, "posting")
        assert finding.customer_id == life.victim.id
        assert finding.which == f"version {row.version}, seq 1"


# Rebuild


async def rebuilt(database: TestDatabase) -> Rebuilt:
    reader, writer = [await asyncpg.connect(database.owner_url) for _ in range(2)]
    try:
        return await rebuild(reader, writer)
    finally:
        await reader.close()
        await writer.close()


async def projections(connection: Connection, columns: str = "*") -> list[Any]:
    return [
        await connection.fetch(f"SELECT {columns} FROM ledger.{table} ORDER BY {key}")
        for table, key in (("balances", "1"), ("lots", "1, 2"), ("holds", "1, 2"))
    ]


async def test_rebuild_makes_all_projections_anew(
    life: Life, tamper: Connection, database: TestDatabase
) -> None:
    before = await projections(tamper)
    journal = await tamper.fetch("SELECT * FROM ledger.postings ORDER BY 1, 2, 3")
    await tamper.execute("TRUNCATE ledger.lots, ledger.holds")
    await tamper.execute("DELETE FROM ledger.balances")
    done = await rebuilt(database)
    assert (done.customers, len(done.repaired)) == (2, 2)
    assert await projections(tamper) == before
    assert await tamper.fetch("SELECT * FROM ledger.postings ORDER BY 1, 2, 3") == journal
    await assert_clean(database)
    await life.victim.redeem(1)
    await assert_clean(database)


async def test_rebuild_of_a_sound_ledger_writes_nothing(
    life: Life, tamper: Connection, database: TestDatabase
) -> None:
    before = await projections(tamper, "xmin::text, ctid::text, *")
    done = await rebuilt(database)
    assert (done.customers, done.repaired) == (2, [])
    assert await projections(tamper, "xmin::text, ctid::text, *") == before


async def test_replay_of_any_prefix_gives_the_balances_it_left(life: Life) -> None:
    """… and of the whole history, the state that is read now."""
    for one in (life.victim, life.other):
        await post_due(one.ledger)
        history = await one.history()
        for length in range(1, len(history) + 1):
            state = fold(one.id, history[:length])
            assert state.balances == history[length - 1].after
            assert state.version == length
            lots = state.lots.values()
            assert sum(lot.available for lot in lots) == state.available
            assert sum(lot.deferred for lot in lots) == state.deferred
            assert sum(lot.held for lot in lots) == state.held
        now = await balance_now(one.ledger, one.id)
        assert now.balances == state.balances
        assert {id_: lot for id_, lot in state.lots.items() if lot.open} == now.lots


@pytest.mark.parametrize("victims", [30])
async def test_connections_share_customers_who_are_all_seen_once(
    life: Life, database: TestDatabase
) -> None:
    """Whatever the planner's sample: the stretches follow each other from the first id to the
    last."""
    owner = await asyncpg.connect(database.owner_url)
    await owner.execute("ANALYZE ledger.transactions")
    found = await stretches(owner, 8)
    await owner.close()
    assert len(found) == 8
    assert (found[0].first, found[-1].last) == EVERYBODY
    assert all(one.last.int + 1 == after.first.int for one, after in pairwise(found))
    assert (await assert_clean(database)).customers == len(life.victims) + 1


async def test_an_audit_ends_its_list_where_nobody_reads_on(
    ledger: Ledger, clock: Clock, database: TestDatabase, monkeypatch: pytest.MonkeyPatch
) -> None:
    """However many customers one page has: they are looked at closely some at a time."""
    for _ in range(9):
        await Customer(ledger, clock).give(1)
    owner = await asyncpg.connect(database.owner_url)
    await owner.execute("DELETE FROM ledger.balances")
    monkeypatch.setattr("ledger.audit.MAX_FINDINGS", 3)
    monkeypatch.setattr("ledger.audit.CHUNK", 2)
    assert len((await audit(owner)).findings) == 4
    await owner.close()


async def test_an_audit_whose_connection_is_lost_says_so(
    life: Life, database: TestDatabase
) -> None:
    """… and what reads on the other one is over, too."""
    owner, beside = [await asyncpg.connect(database.owner_url) for _ in range(2)]
    beside.terminate()
    with pytest.raises((OSError, asyncpg.InterfaceError)):
        await audit(owner, beside=[beside])
    assert await owner.fetchval("SELECT 1") == 1
    await owner.close()


async def test_the_audit_works_beside_the_tills(life: Life, database: TestDatabase) -> None:
    """One snapshot: what is posted meanwhile is neither missed in part nor reported."""
    owner = await asyncpg.connect(database.owner_url)
    async with owner.transaction(isolation="repeatable_read", readonly=True):
        await owner.fetchval("SELECT count(*) FROM ledger.postings")
        await life.victim.give(10)
        seen = {customer.id: len(customer.history) async for customer in read_customers(owner)}
    await owner.close()
    assert seen[life.victim.id] == len(await life.victim.history()) - 1
    await assert_clean(database)
