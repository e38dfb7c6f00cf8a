"""The journal cannot be changed, and holds only what the chart of accounts allows (DESIGN §3)."""

from __future__ import annotations

import re
from collections.abc import AsyncIterator
from itertools import product
from pathlib import Path
from typing import Any, TypeAlias

import asyncpg
import pytest

from billing.common.embedded.bootstrap import OWNER
from ledger.commands import Answer, Completion
from ledger.flows import ACCOUNTS, BUCKETS, FLOWS, KINDS, TRANSACTION_KINDS
from ledger.seals.store import put_checkpoint
from ledger.service import Ledger
from ledger.sql import LANE_SETTINGS
from ledger.tables import APPEND_ONLY, FOR_REPORTS, metadata, set_aside
from tests.conftest import TestDatabase
from tests.ledger.chains import Chains
from tests.ledger.conftest import Clock
from tests.ledger.house import Customer

JOURNAL = [table.name for table in APPEND_ONLY]
PROJECTIONS = [
    table.name
    for table in metadata.sorted_tables
    if table not in (*APPEND_ONLY, *FOR_REPORTS, set_aside)
]
CHANGES = {
    "transactions": "UPDATE ledger.transactions SET reason = 'better'",
    "postings": "UPDATE ledger.postings SET amount = 7",
    "idempotency_keys": "UPDATE ledger.idempotency_keys SET status = 200",
    "sources": "UPDATE ledger.sources SET source = 'another'",
    "seals": "UPDATE ledger.seals SET hash = ''",
    "checkpoints": "UPDATE ledger.checkpoints SET document = '{}'",
}
Connection: TypeAlias = "asyncpg.Connection[asyncpg.Record]"


@pytest.fixture
async def one(ledger: Ledger, clock: Clock, database: TestDatabase, tmp_path: Path) -> Customer:
    """A customer with a row in every table."""
    made = Customer(ledger, clock)
    await made.give(100)
    await made.hold(10, 60)
    await made.redeem(1, key="key", source="receipt", complete=_answer)
    assert await Chains(database, clock, tmp_path).seal() > 0
    owner = await connected(database.owner_url)
    await put_checkpoint(owner, clock(), "{}", b"", b"")
    await owner.close()
    return made


def _answer(outcome: Any) -> Completion:
    return Completion(Answer(201, b"{}"))


async def connected(url: str, **settings: str) -> Connection:
    return await asyncpg.connect(url, server_settings=settings or None)


@pytest.fixture
async def app(database: TestDatabase, one: Customer) -> AsyncIterator[Connection]:
    """A connection as a lane's."""
    connection = await connected(database.url, role=LANE_SETTINGS["role"])
    yield connection
    await connection.close()


@pytest.fixture
async def superuser(database: TestDatabase, one: Customer) -> AsyncIterator[Connection]:
    connection = await connected(database.superuser_url)
    yield connection
    await connection.close()


def statements(table: str) -> list[str]:
    return [
        CHANGES[table],
        f"DELETE FROM ledger.{table}",
        f"TRUNCATE ledger.{table} CASCADE",
        f"INSERT INTO ledger.{table} SELECT * FROM ledger.{table} LIMIT 1"
        f" ON CONFLICT ({_key(table)}) DO UPDATE SET {CHANGES[table].partition(' SET ')[2]}",
    ]


def _key(table: str) -> str:
    return ", ".join(column.name for column in metadata.tables[f"ledger.{table}"].primary_key)


@pytest.mark.parametrize("table", JOURNAL)
async def test_the_application_has_no_privilege_to_change_the_journal(
    app: Connection, table: str
) -> None:
    assert await app.fetchval(f"SELECT count(*) FROM ledger.{table}") > 0
    for statement in statements(table):
        with pytest.raises(asyncpg.InsufficientPrivilegeError, match="permission denied"):
            await app.execute(statement)


async def test_the_application_cannot_take_the_walls_down(app: Connection) -> None:
    for statement in (
        "ALTER TABLE ledger.postings DISABLE TRIGGER ALL",
        "DROP TRIGGER postings_append_only ON ledger.postings",
        "ALTER TABLE ledger.postings DROP CONSTRAINT postings_flow_check",
        "DROP TABLE ledger.postings",
        "CREATE OR REPLACE FUNCTION ledger.refuse_change() RETURNS trigger"
        " LANGUAGE plpgsql AS 'BEGIN RETURN NEW; END'",
        "SET session_replication_role = replica",
        *(f"DELETE FROM ledger.{table}" for table in PROJECTIONS),
        *(f"TRUNCATE ledger.{table}" for table in PROJECTIONS),
    ):
        with pytest.raises(asyncpg.InsufficientPrivilegeError):
            await app.execute(statement)


async def test_the_application_cannot_grant_itself_what_it_lacks(app: Connection) -> None:
    """PostgreSQL warns and grants nothing."""
    await app.execute("GRANT UPDATE ON ledger.postings TO bonus_app")
    with pytest.raises(asyncpg.InsufficientPrivilegeError):
        await app.execute(CHANGES["postings"])


async def test_a_login_of_the_application_is_no_more_than_its_role(
    database: TestDatabase, one: Customer
) -> None:
    login = await connected(database.url)
    with pytest.raises(asyncpg.InsufficientPrivilegeError):
        await login.execute("RESET ROLE; DELETE FROM ledger.postings")
    with pytest.raises(asyncpg.InsufficientPrivilegeError):
        await login.execute(f"SET ROLE {OWNER}")
    await login.close()


@pytest.mark.parametrize("table", JOURNAL)
@pytest.mark.parametrize("who", ["owner_url", "superuser_url"])
async def test_triggers_refuse_owner_and_superuser(
    database: TestDatabase, one: Customer, table: str, who: str
) -> None:
    connection = await connected(getattr(database, who))
    before = await connection.fetch(f"SELECT * FROM ledger.{table}")
    for statement in statements(table):
        with pytest.raises(
            asyncpg.InsufficientPrivilegeError, match="append-only: correct it by a new"
        ):
            await connection.execute(statement)
    assert await connection.fetch(f"SELECT * FROM ledger.{table}") == before
    await connection.close()


async def flows_of_the_check(connection: Connection) -> set[tuple[str, ...]]:
    definition: str = await connection.fetchval(
        "SELECT pg_get_constraintdef(oid) FROM pg_constraint WHERE conname = 'postings_flow_check'"
    )
    names = re.findall(r"'(\w+)'", definition)
    return set(zip(names[::3], names[1::3], names[2::3], strict=True))


async def test_the_flows_in_code_are_the_check_of_the_database(superuser: Connection) -> None:
    assert await flows_of_the_check(superuser) == set(FLOWS)
    assert len(set(FLOWS)) == len(FLOWS)


async def test_every_other_flow_is_refused(superuser: Connection, one: Customer) -> None:
    """By trial: the whole of kinds × accounts × accounts, in transactions that are undone."""
    allowed = set()
    for flow in product(KINDS, ACCOUNTS, ACCOUNTS):
        attempt = superuser.transaction()
        await attempt.start()
        try:
            await superuser.execute(
                "INSERT INTO ledger.postings (customer_id, version, seq, kind, debit, credit,"
                " amount, lot_id, bucket, active_from, occurred_at, recorded_at)"
                " VALUES ($1, 1, 99, $2, $3, $4, 1, $1, 'base', now(), now(), now())",
                one.id,
                *flow,
            )
            allowed.add(flow)
        except asyncpg.CheckViolationError:
            pass
        finally:
            await attempt.rollback()
    assert allowed == set(FLOWS)


@pytest.mark.parametrize(
    ("column", "value", "constraint"),
    [
        ("amount", "0", "postings_amount_check"),
        ("amount", "-1", "postings_amount_check"),
        ("bucket", "'gift'", "postings_bucket_check"),
        ("kind", "'present'", "postings_flow_check"),
    ],
)
async def test_no_posting_of_nothing_or_of_no_bucket(
    superuser: Connection, one: Customer, column: str, value: str, constraint: str
) -> None:
    """hordak: a zero leg is refused."""
    values = {"version": "1", "kind": "'accrue'", "amount": "1", "bucket": "'base'"}
    values[column] = value
    with pytest.raises(asyncpg.IntegrityConstraintViolationError) as refused:
        await superuser.execute(
            "INSERT INTO ledger.postings (customer_id, seq, debit, credit, lot_id, active_from,"
            f" occurred_at, recorded_at, {', '.join(values)}) VALUES ($1, 99, 'issued',"
            f" 'available', $1, now(), now(), now(), {', '.join(values.values())})",
            one.id,
        )
    assert refused.value.constraint_name == constraint


async def test_no_posting_without_its_transaction(superuser: Connection, one: Customer) -> None:
    copy = (
        "INSERT INTO ledger.postings SELECT customer_id, {}, 99, kind, debit, credit, amount,"
        " lot_id, bucket, active_from, expires_at, program, program_version, channel, store,"
        " product_group, occurred_at, recorded_at FROM ledger.postings WHERE seq = 1"
    )
    with pytest.raises(asyncpg.ForeignKeyViolationError):
        await superuser.execute(copy.format("version + 1"))
    await superuser.execute(copy.format("version"))


async def test_the_kinds_in_code_are_the_check_of_the_database(superuser: Connection) -> None:
    definition = await superuser.fetchval(
        "SELECT pg_get_constraintdef(oid) FROM pg_constraint"
        " WHERE conname = 'transactions_kind_check'"
    )
    assert set(re.findall(r"'(\w+)'", definition)) == set(TRANSACTION_KINDS)
    definition = await superuser.fetchval(
        "SELECT pg_get_constraintdef(oid) FROM pg_constraint"
        " WHERE conname = 'postings_bucket_check'"
    )
    assert set(re.findall(r"'(\w+)'", definition)) == set(BUCKETS)


BELOW_ZERO = [
    *(f"UPDATE ledger.balances SET {name} = -1" for name in ("available", "deferred", "held")),
    "UPDATE ledger.balances SET promo = -1",
    "UPDATE ledger.balances SET promo = available + 1",
    "UPDATE ledger.balances SET debt = -1",
    *(f"UPDATE ledger.lots SET {n} = -1" for n in ("available", "deferred", "held", "redeemed")),
    "UPDATE ledger.lots SET owed = -1",
    "UPDATE ledger.lots SET revoked = -1",
    "UPDATE ledger.lots SET revoked = amount + 1",
    "UPDATE ledger.lots SET available = amount + 1",
    "UPDATE ledger.lots SET open = NOT open",
    "UPDATE ledger.holds SET status = 'lost'",
]


async def test_projections_cannot_go_below_zero(app: Connection) -> None:
    for statement in BELOW_ZERO:
        with pytest.raises(asyncpg.CheckViolationError):
            await app.execute(statement)


async def test_balances_after_a_transaction_cannot_be_below_zero(
    app: Connection, one: Customer
) -> None:
    columns = [f"{name}_after" for name in ("available", "promo", "deferred", "held", "debt")]
    for negative in columns:
        values = ["-1" if column == negative else "0" for column in columns]
        with pytest.raises(asyncpg.CheckViolationError) as refused:
            await app.execute(
                "INSERT INTO ledger.transactions (customer_id, version, id, operation_id, kind,"
                f" occurred_at, recorded_at, {', '.join(columns)})"
                f" VALUES ($1, 99, $1, $1, 'accrual', now(), now(), {', '.join(values)})",
                one.id,
            )
        assert refused.value.constraint_name == "transactions_after_check"


async def test_two_writers_cannot_both_write_a_version_or_a_reversal(
    app: Connection, one: Customer
) -> None:
    """The walls under the lock: (customer, version), and one reversal of a transaction."""
    copy = (
        "INSERT INTO ledger.transactions (customer_id, version, id, operation_id, kind, corrects,"
        " occurred_at, recorded_at, available_after, promo_after, deferred_after, held_after,"
        " debt_after) SELECT customer_id, {}, gen_random_uuid(), id, 'reversal', id, occurred_at,"
        " recorded_at, 0, 0, 0, 0, 0 FROM ledger.transactions WHERE version = 1"
    )
    with pytest.raises(asyncpg.UniqueViolationError) as refused:
        await app.execute(copy.format(3))
    assert refused.value.constraint_name == "transactions_pkey"
    await app.execute(copy.format(98))
    with pytest.raises(asyncpg.UniqueViolationError) as refused:
        await app.execute(copy.format(99))
    assert refused.value.constraint_name == "transactions_reversal_key"
