"""Whoever changes the past is found and located, and an outsider's verifier agrees (DESIGN §6)."""

from __future__ import annotations

from collections.abc import AsyncIterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import asyncpg
import pytest

from ledger import commands as c
from ledger.audit import Scope
from ledger.commands import Answer, Completion
from ledger.raw import raw_rows
from ledger.screening import IN_ORDER
from ledger.seals import streams
from ledger.seals.model import Block, next_block, split
from ledger.seals.sealing import HORIZON
from ledger.seals.store import block, head_at, insert
from ledger.seals.streams import AS_USUAL, BY_INDEX, Stream
from ledger.seals.tally import Tally
from ledger.seals.verifying import Trusted
from ledger.service import Ledger
from tests.conftest import TestDatabase
from tests.ledger.chains import SCRIPT, Chains, Connection, run_script
from tests.ledger.conftest import Clock
from tests.ledger.house import Customer, lot


@pytest.fixture
def chains(database: TestDatabase, clock: Clock, tmp_path: Path) -> Chains:
    return Chains(database, clock, tmp_path)


@dataclass
class Sealed:
    """Two customers with twelve transactions and three kept answers, in blocks of four."""

    victim: Customer
    other: Customer
    names: list[str]


def _answer(_: Any) -> Completion:
    return Completion(Answer(201, b'{"points": "1.00"}'))


async def live(*customers: Customer) -> None:
    for one in customers:
        await one.accrue(lot(500), lot(20, "promo", expires=9**6), source=f"sale of {one.id}")
        await one.redeem(100, key=f"till-{one.id}", complete=_answer, author="till 1", store="m1")
        await one.capture(await one.hold(60, 60), 25)
        await one.do("adjustment", c.Adjust(7, "base"), author="Anna", reason="a gift")
        await one.give(3)


@pytest.fixture
async def sealed(ledger: Ledger, clock: Clock, chains: Chains) -> Sealed:
    one, other = Customer(ledger, clock), Customer(ledger, clock)
    await live(one, other)
    assert await chains.seal(block=4) == 14
    names = [f"{one.id}/{version}" for version in range(1, 7)]
    return Sealed(one, other, names)


@pytest.fixture
async def tamper(database: TestDatabase, sealed: Sealed) -> AsyncIterator[Connection]:
    """A superuser whom no trigger stops."""
    connection = await asyncpg.connect(
        database.superuser_url, server_settings={"session_replication_role": "replica"}
    )
    yield connection
    await connection.close()


async def test_a_sound_ledger_is_found_sound_by_both(sealed: Sealed, chains: Chains) -> None:
    report = await chains.audit()
    assert report.findings == []
    assert (report.blocks, report.transactions, report.postings) == (4, 12, 18)
    assert {chain: head.number for chain, head in report.heads.items()} == {
        "journal": 3,
        "answers": 1,
    }
    assert report.unsealed == {"journal": 0, "answers": 0}
    assert await chains.verify() == []


async def test_what_is_sealed_is_sealed_once(sealed: Sealed, chains: Chains) -> None:
    assert await chains.seal() == 0
    await sealed.victim.give(1)
    assert (await chains.audit()).unsealed == {"journal": 1, "answers": 0}
    assert await chains.seal() == 1
    assert (await chains.audit()).findings == []


async def test_pages_of_large_answers_are_small(
    chains: Chains, database: TestDatabase, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Answers have no bound of their own, what is read of them at a time has."""
    connection = await asyncpg.connect(database.superuser_url)
    await connection.execute(
        """INSERT INTO ledger.idempotency_keys (key, fingerprint, status, answer, recorded_at)
           SELECT n, '', 201, convert_to(repeat(n::text, 400), 'UTF8'), now()
           FROM generate_series(100, 250) AS n"""
    )
    await connection.close()
    pages: list[int] = []

    async def read(*args: Any) -> list[bytes]:
        rows = await raw_rows(*args)
        pages.append(sum(map(len, rows)))
        return rows

    monkeypatch.setattr(streams, "raw_rows", read)
    monkeypatch.setattr(streams, "_FIRST", 10)
    monkeypatch.setattr(streams, "_BYTES", 4000)
    assert await chains.seal() == 151
    assert (await chains.audit()).findings == []
    assert max(pages[:1]) > 12_000, "the first ten"
    assert max(pages[1:]) < 15_000, "the first ten, read by the audit"
    assert sum(page > 5000 for page in pages) == 2
    assert sum(pages) > 2 * 151 * 1200


async def test_how_a_stream_is_read_is_forgotten_after_it(chains: Chains) -> None:
    """But nothing is compiled before and after it."""
    planner = (
        "SELECT array_agg(format('%s %s', name, setting) ORDER BY name) FROM pg_settings"
        " WHERE name = 'jit' OR name LIKE 'enable%'"
    )
    connection = await chains.connect()
    async with connection.transaction():
        await connection.execute("SET LOCAL jit = off")
        before = await connection.fetchval(planner)
        for settings in (BY_INDEX, IN_ORDER, AS_USUAL):
            await connection.execute(settings)
        assert await connection.fetchval(planner) == before
    await connection.close()


async def test_an_empty_ledger_has_chains_without_blocks(chains: Chains) -> None:
    assert await chains.seal() == 0
    assert (await chains.audit()).findings == []
    assert await chains.verify() == []


async def test_a_sealer_that_stops_is_followed_by_the_next(
    ledger: Ledger, clock: Clock, chains: Chains
) -> None:
    await live(Customer(ledger, clock))
    stops = iter([False, True, True])
    assert await chains.seal(block=2, stopping=lambda: next(stops, True)) == 2
    assert await chains.seal(block=2) == 5
    assert (await chains.audit()).findings == []


async def test_only_one_sealer_is_at_work(ledger: Ledger, clock: Clock, chains: Chains) -> None:
    await live(Customer(ledger, clock))
    other: list[int] = []
    holder = await chains.connect()
    await holder.fetchval("SELECT pg_advisory_lock($1)", 0x626F6E7573_06)
    other.append(await chains.seal())
    await holder.close()
    assert (other, await chains.seal()) == ([0], 7)


async def test_a_commit_that_comes_late_is_waited_for(
    ledger: Ledger, clock: Clock, chains: Chains, database: TestDatabase
) -> None:
    """Its number is lower than that of what was committed meanwhile: nothing overtakes it."""
    early, late = Customer(ledger, clock), Customer(ledger, clock)
    await early.give(1)
    slow = await asyncpg.connect(database.superuser_url)
    transaction = slow.transaction()
    await transaction.start()
    await slow.fetchval("SELECT pg_current_xact_id()")
    await late.give(1)
    assert await chains.seal() == 1
    await transaction.commit()
    await slow.close()
    assert await chains.seal() == 1
    assert (await chains.audit()).findings == []


ROW = "customer_id = '{one}' AND version = {version}"
CHANGES = {
    "a product group": (
        2, f"UPDATE ledger.postings SET product_group = 'x' WHERE {ROW} AND seq = 1"),
    "an author": (2, f"UPDATE ledger.transactions SET author = 'till 2' WHERE {ROW}"),
    "a reason": (5, f"UPDATE ledger.transactions SET reason = 'salary' WHERE {ROW}"),
    "an operation": (5, f"UPDATE ledger.transactions SET operation_id = id WHERE {ROW}"
                        " AND operation_id <> id OR"
                        f" {ROW} AND false"),
    "an amount": (1, f"UPDATE ledger.postings SET amount = amount + 1 WHERE {ROW} AND seq = 1"),
    "a posting more": (
        6,
        "INSERT INTO ledger.postings SELECT customer_id, version, seq + 1, kind, debit, credit,"
        " amount, lot_id, bucket, active_from, expires_at, program, program_version, channel,"
        f" store, product_group, occurred_at, recorded_at FROM ledger.postings WHERE {ROW}"),
    "a posting less": (1, f"DELETE FROM ledger.postings WHERE {ROW} AND seq = 2"),
    "its place among commits": (
        3, f"UPDATE ledger.transactions SET xid = xid - 1 WHERE {ROW}"),
}  # fmt: skip
del CHANGES["an operation"]


@pytest.mark.parametrize("change", CHANGES)
async def test_a_changed_transaction_is_named_by_both(
    sealed: Sealed, tamper: Connection, chains: Chains, change: str
) -> None:
    version, statement = CHANGES[change]
    done = await tamper.execute(statement.format(one=sealed.victim.id, version=version))
    assert done.endswith(" 1")
    name = sealed.names[version - 1]
    named = {f.which for f in (await chains.audit()).findings if f.what == "transaction"}
    assert name in named
    faults = await chains.verify()
    assert any(name in fault and "changed" in fault for fault in faults)
    assert not any(str(sealed.other.id) in fault for fault in faults)


async def test_a_deleted_transaction_is_named_by_both(
    sealed: Sealed, tamper: Connection, chains: Chains
) -> None:
    """Even when every trace of the customer is removed with it."""
    for table in ("postings", "transactions", "balances", "lots", "holds", "sources"):
        await tamper.execute(f"DELETE FROM ledger.{table} WHERE customer_id = $1", sealed.victim.id)
    findings = (await chains.audit()).findings
    assert [(f.which, f.customer_id) for f in findings] == [
        (name, sealed.victim.id) for name in sealed.names
    ]
    assert all("was deleted" in f.detail for f in findings)
    assert [fault.split()[3] for fault in await chains.verify()] == sealed.names


async def test_an_inserted_transaction_is_named_by_both(
    sealed: Sealed, tamper: Connection, chains: Chains
) -> None:
    """A whole history of somebody new, right in itself, put among what is sealed."""
    stranger = Customer(sealed.victim.ledger, sealed.victim.clock)
    await stranger.give(999)
    await tamper.execute(
        "UPDATE ledger.transactions SET xid = (SELECT min(xid) FROM ledger.transactions)"
        " WHERE customer_id = $1", stranger.id,
    )  # fmt: skip
    (finding,) = (await chains.audit()).findings
    assert (finding.which, "inserted" in finding.detail) == (f"{stranger.id}/1", True)
    (fault,) = await chains.verify()
    assert f"{stranger.id}/1" in fault
    assert "inserted" in fault


async def test_reordered_transactions_are_named_by_both(
    sealed: Sealed, tamper: Connection, chains: Chains
) -> None:
    """The first and the last of a customer change places among the commits."""
    await tamper.execute(
        "UPDATE ledger.transactions t SET xid = o.xid FROM ledger.transactions o"
        " WHERE t.customer_id = $1 AND o.customer_id = $1"
        " AND (t.version, o.version) IN ((1, 6), (6, 1))", sealed.victim.id,
    )  # fmt: skip
    moved = {sealed.names[0], sealed.names[5]}
    findings = (await chains.audit()).findings
    assert {f.which for f in findings} == moved
    assert any("was moved to commit" in f.detail for f in findings)
    faults = await chains.verify()
    assert all(any(name in fault for fault in faults) for name in moved)


ANSWERS = {
    "changed": "UPDATE ledger.idempotency_keys SET answer = '{{}}' WHERE key = $1",
    "deleted": "DELETE FROM ledger.idempotency_keys WHERE key = $1",
    "moved": "UPDATE ledger.idempotency_keys SET xid = xid + 1000000 WHERE key = $1",
    "inserted": "INSERT INTO ledger.idempotency_keys SELECT key || 'x', customer_id, fingerprint,"
    " status, answer, recorded_at, xid FROM ledger.idempotency_keys WHERE key = $1",
}


@pytest.mark.parametrize("change", ANSWERS)
async def test_a_kept_answer_that_was_touched_is_named_by_both(
    sealed: Sealed, tamper: Connection, chains: Chains, change: str
) -> None:
    key = f"till-{sealed.victim.id}"
    assert (await tamper.execute(ANSWERS[change], key)).endswith(" 1")
    name = key + "x" if change == "inserted" else key
    findings = [f for f in (await chains.audit()).findings if f.what == "answer"]
    assert findings
    assert {f.which for f in findings} == {name}
    assert any(name in fault for fault in await chains.verify())


SEALS = {
    "hash": "UPDATE ledger.seals SET hash = sha256(hash) WHERE chain = 'journal' AND number = 2",
    "a digest": "UPDATE ledger.seals SET entries = set_byte(entries, length(entries) - 1, get_byte("
    "entries, length(entries) - 1) # 1) WHERE chain = 'journal' AND number = 2",
    "all entries": "UPDATE ledger.seals SET entries = '\\xffffffff' WHERE chain = 'journal'"
    " AND number = 2",
    "time": "UPDATE ledger.seals SET sealed_at = sealed_at + interval '1 second'"
    " WHERE chain = 'journal' AND number = 2",
    "previous": "UPDATE ledger.seals SET previous = sha256(previous)"
    " WHERE chain = 'journal' AND number = 2",
    "a name": "UPDATE ledger.seals SET entries = set_byte(entries, 12, get_byte(entries, 12) # 1)"
    " WHERE chain = 'journal' AND number = 2",
    "deletion": "DELETE FROM ledger.seals WHERE chain = 'journal' AND number = 2",
}


@pytest.mark.parametrize("change", SEALS)
async def test_a_changed_seal_is_named_by_both(
    sealed: Sealed, tamper: Connection, chains: Chains, change: str
) -> None:
    assert (await tamper.execute(SEALS[change])).endswith(" 1")
    which = "journal 3" if change == "deletion" else "journal 2"
    blocks = [f.which for f in (await chains.audit()).findings if f.what == "block"]
    assert which in blocks
    assert any(fault.startswith(f"block {which}:") for fault in await chains.verify())


async def test_the_end_that_a_block_says_is_that_of_its_rows(
    sealed: Sealed, tamper: Connection, chains: Chains
) -> None:
    """It is no part of the hash: where the block's rows end is."""
    await tamper.execute(
        "UPDATE ledger.seals SET until_xid = until_xid - 1 WHERE chain = 'journal' AND number = 2"
    )
    blocks = [f.which for f in (await chains.audit()).findings if f.what == "block"]
    assert "journal 2" in blocks


async def rewritten(connection: Connection, number: int, chains: Chains) -> None:
    """The chain from block `number` on, made anew over the rows as they are now."""
    old: list[Block] = []
    while (one := await block(connection, "journal", number + len(old))) is not None:
        old.append(one)
    await connection.execute(
        "DELETE FROM ledger.seals WHERE chain = 'journal' AND number >= $1", number
    )
    head = await head_at(connection, "journal", number - 1)
    async with connection.transaction():
        stream = Stream(connection, "journal", head.until, await connection.fetchval(HORIZON))
        for one in old:
            made = next_block(head, await stream.take_until(one.until), one.sealed_at)
            await insert(connection, made)
            head = await head_at(connection, "journal", made.number)


async def test_a_chain_written_anew_is_betrayed_by_a_hash_kept_elsewhere(
    sealed: Sealed, tamper: Connection, chains: Chains
) -> None:
    heads = await chains.heads()
    said = {("journal", 3): (heads["journal"].hash, "the paper in the safe")}
    trusted = Trusted(said)  # type: ignore[arg-type]
    assert (await chains.audit(trusted=trusted)).findings == []
    await tamper.execute(
        "UPDATE ledger.transactions SET reason = 'salary'"
        " WHERE customer_id = $1 AND version = 5", sealed.victim.id,
    )  # fmt: skip
    await rewritten(tamper, 2, chains)
    assert (await chains.audit()).findings == []
    (finding,) = (await chains.audit(trusted=trusted)).findings
    assert (finding.what, finding.which) == ("block", "journal 3")
    assert "the paper in the safe" in finding.detail


async def test_a_chain_written_anew_in_another_order_is_named_by_both(
    sealed: Sealed, tamper: Connection, chains: Chains
) -> None:
    """All digests and hashes are right, but two rows of the last block change places."""
    old = await block(tamper, "journal", 3)
    assert old is not None
    first, second, *others = split(old.entries)
    head = await head_at(tamper, "journal", 2)
    await tamper.execute("DELETE FROM ledger.seals WHERE chain = 'journal' AND number = 3")
    await insert(tamper, next_block(head, [second, first, *others], old.sealed_at))
    (finding,) = (await chains.audit()).findings
    assert (finding.which, "another order" in finding.detail) == ("journal 3", True)
    assert await chains.verify() == ["block journal 3: its rows stand in another order"]


async def test_a_row_that_is_there_twice_is_named(
    sealed: Sealed, tamper: Connection, chains: Chains
) -> None:
    """No key was left to refuse it."""
    await tamper.execute("ALTER TABLE ledger.transactions DROP CONSTRAINT transactions_pkey")
    await tamper.execute("DROP INDEX ledger.transactions_id_key")
    await tamper.execute(
        "INSERT INTO ledger.transactions SELECT * FROM ledger.transactions"
        " WHERE customer_id = $1 AND version = 2", sealed.victim.id,
    )  # fmt: skip
    findings = (await chains.audit()).findings
    assert {f.customer_id for f in findings if f.what == "transaction"} == {sealed.victim.id}
    assert any("more than once" in f.detail for f in findings)


async def test_an_answer_that_is_sealed_twice_is_named_after_an_audit(
    sealed: Sealed, tamper: Connection, chains: Chains
) -> None:
    since = Scope((await chains.audit()).heads)
    fresh = Customer(sealed.victim.ledger, sealed.victim.clock)
    await live(fresh)
    await tamper.execute(
        "ALTER TABLE ledger.idempotency_keys DROP CONSTRAINT idempotency_keys_pkey"
    )
    await tamper.execute(
        "INSERT INTO ledger.idempotency_keys SELECT * FROM ledger.idempotency_keys"
        " WHERE customer_id = $1", fresh.id,
    )  # fmt: skip
    await chains.seal()
    findings = (await chains.audit(since)).findings
    assert any("more than once" in f.detail for f in findings)


async def test_a_version_below_zero_is_named(
    sealed: Sealed, tamper: Connection, chains: Chains
) -> None:
    """Of the newest transaction, where a stream ends, and then in the midst of one."""
    await tamper.execute(
        "ALTER TABLE ledger.transactions DROP CONSTRAINT transactions_version_check"
    )
    for table in ("transactions", "postings"):
        await tamper.execute(
            f"UPDATE ledger.{table} SET version = -6 WHERE version = 6 AND customer_id = $1",
            sealed.other.id,
        )
    named = {f.which for f in (await chains.audit()).findings if "block" in f.detail}
    assert named == {f"{sealed.other.id}/6"}
    await sealed.victim.give(1)
    await chains.seal()
    named = {f.which for f in (await chains.audit()).findings if "block" in f.detail}
    assert named == {f"{sealed.other.id}/6", f"{sealed.other.id}/-6"}


async def test_an_answer_without_a_key_is_named(
    sealed: Sealed, tamper: Connection, chains: Chains
) -> None:
    for command in ("DROP CONSTRAINT idempotency_keys_pkey", "ALTER key DROP NOT NULL"):
        await tamper.execute(f"ALTER TABLE ledger.idempotency_keys {command}")
    await tamper.execute(
        "UPDATE ledger.idempotency_keys SET key = NULL WHERE customer_id = $1", sealed.victim.id
    )
    assert {f.which for f in (await chains.audit()).findings} == {"", f"till-{sealed.victim.id}"}


async def test_a_sealed_place_that_no_row_can_have_is_named(
    sealed: Sealed, tamper: Connection, chains: Chains
) -> None:
    old = await block(tamper, "journal", 3)
    assert old is not None
    first, *others = split(old.entries)
    longer = (40).to_bytes(4) + first[4:28] + b"\xff" * 16 + first[36:]
    head = await head_at(tamper, "journal", 2)
    await tamper.execute("DELETE FROM ledger.seals WHERE chain = 'journal' AND number = 3")
    await insert(tamper, next_block(head, [longer, *others], old.sealed_at))
    findings = (await chains.audit()).findings
    assert [f.detail.rpartition(" ")[2] for f in findings] == ["inserted", "deleted"]


async def test_without_a_secret_rows_are_compared_one_by_one(
    sealed: Sealed, tamper: Connection, chains: Chains, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("PYTHONHASHSEED", "1")
    assert (await chains.audit()).findings == []
    await tamper.execute("UPDATE ledger.postings SET product_group = 'x' WHERE version = 2")
    named = {f.which for f in (await chains.audit()).findings}
    assert named == {f"{one.id}/2" for one in (sealed.victim, sealed.other)}


def test_a_tally_knows_lists_that_differ() -> None:
    """Whatever their order; and entries that changed sides, or a part of them, count."""
    entries = [bytes([one]) * 68 for one in range(9)]
    tally = Tally()
    tally.add(entries)
    for change, same in (
        (entries[::-1], True),
        (entries[:-1], False),
        ([*entries, entries[0]], False),
        ([*entries[:-1], entries[0]], False),
        ([*entries[:-1], entries[-1][:-1] + b"x"], False),
    ):
        other = tally.other()
        for one in change:
            other.add([one])
        assert tally.agrees(other) is same


async def test_a_chain_cut_short_is_betrayed_by_a_hash_kept_elsewhere(
    sealed: Sealed, tamper: Connection, chains: Chains
) -> None:
    heads = await chains.heads()
    said = {("journal", 3): (heads["journal"].hash, "the paper in the safe")}
    await tamper.execute("DELETE FROM ledger.seals WHERE chain = 'journal' AND number = 3")
    (finding,) = (await chains.audit(trusted=Trusted(said))).findings  # type: ignore[arg-type]
    assert (finding.which, "cut off" in finding.detail) == ("journal 3", True)


async def test_one_customer_is_audited_alone(
    sealed: Sealed, tamper: Connection, chains: Chains
) -> None:
    report = await chains.audit(Scope(customer=sealed.victim.id))
    assert (report.findings, report.customers, report.transactions) == ([], 1, 6)
    await tamper.execute("UPDATE ledger.transactions SET author = 'x' WHERE version = 2")
    (finding,) = (await chains.audit(Scope(customer=sealed.victim.id))).findings
    assert finding.which == sealed.names[1]


async def test_what_came_after_an_audit_is_audited_alone(
    sealed: Sealed, tamper: Connection, chains: Chains
) -> None:
    since = Scope((await chains.audit()).heads)
    fresh = Customer(sealed.victim.ledger, sealed.victim.clock)
    await live(fresh)
    await chains.seal()
    report = await chains.audit(since)
    assert (report.findings, report.transactions) == ([], 12)  # the last block's customer, too
    await tamper.execute("UPDATE ledger.transactions SET author = 'x' WHERE author = 'Anna'")
    named = [f.which for f in (await chains.audit(since)).findings]
    assert named == [f"{fresh.id}/5"]


@pytest.mark.parametrize("table", ["transactions", "postings", "seals"])
async def test_a_wall_that_was_taken_down_is_named(
    sealed: Sealed, tamper: Connection, chains: Chains, table: str
) -> None:
    await tamper.execute(f"ALTER TABLE ledger.{table} DISABLE TRIGGER {table}_append_only")
    await tamper.execute(f"GRANT UPDATE ON ledger.{table} TO bonus_app")
    findings = (await chains.audit()).findings
    assert [(f.what, f.which) for f in findings] == [("wall", f"ledger.{table}")] * 2


def test_the_verifier_is_short_and_shares_no_code() -> None:
    text = SCRIPT.read_text()
    assert len(text.splitlines()) < 150
    assert not any(name in text for name in ("import ledger", "from ledger", "billing"))


async def test_the_verifier_runs_as_a_script(
    sealed: Sealed, tamper: Connection, chains: Chains
) -> None:
    file = await chains.export()
    assert run_script(file) == (
        0,
        "0 faults in 14 rows: journal up to block 3, answers up to block 1.\n",
    )
    await tamper.execute("UPDATE ledger.postings SET product_group = 'x' WHERE version = 2")
    code, printed = run_script(await chains.export())
    assert code == 1
    assert f"WRONG: block journal 1: {sealed.names[1]} is not what was sealed" in printed
