"""The floor: the same rows written by the database alone, in one durable commit, or by COPY."""

from __future__ import annotations

import statistics
import time
from typing import Any

import asyncpg

from bench.house import Database

TABLES = (
    "ledger.transactions",
    "ledger.postings",
    "ledger.lots",
    "ledger.sources",
    "ledger.idempotency_keys",
    "billing.receipts",
)
"""The rows of one accrual, besides the customer's balance, which is updated."""


async def prepare(connection: asyncpg.Connection[Any]) -> None:
    """Empty copies of the tables, with the same indexes and checks, in a schema `bench`."""
    await connection.execute("DROP SCHEMA IF EXISTS bench CASCADE; CREATE SCHEMA bench")
    for table in TABLES:
        name = table.partition(".")[2]
        await connection.execute(f"CREATE TABLE bench.{name} (LIKE {table} INCLUDING ALL)")
    await connection.execute("CREATE TABLE bench.balances (LIKE ledger.balances INCLUDING ALL)")


async def bare_commit_ms(database: Database, count: int = 300) -> float:
    """Median time of one durable commit of the rows of one three-line accrual, in ms.

    The rows are real ones, read beforehand; each is sent by its own prepared INSERT, and the
    balance by an UPDATE, as the simplest program without a ledger would.
    """
    connection = await asyncpg.connect(database.superuser_url)
    await prepare(connection)
    batches = [
        await _rows(connection, row["id"])
        for row in await connection.fetch(
            "SELECT id FROM ledger.transactions WHERE kind = 'accrual' LIMIT $1", count
        )
    ]
    times: list[float] = []
    for batch in batches:
        customer = batch["transactions"][0][0]
        await connection.execute(
            "INSERT INTO bench.balances SELECT * FROM ledger.balances WHERE customer_id = $1"
            " ON CONFLICT DO NOTHING",
            customer,
        )
        started = time.perf_counter()
        async with connection.transaction():
            for name, rows in batch.items():
                await connection.executemany(_insert(name, len(rows[0])), rows)
            await connection.execute(
                "UPDATE bench.balances SET version = version + 1 WHERE customer_id = $1", customer
            )
        times.append(time.perf_counter() - started)
    await connection.close()
    return statistics.median(times[len(times) // 5 :]) * 1e3


async def copy_rate(database: Database, transactions: int) -> float:
    """Accruals per second when their rows come by COPY, one commit: nothing is decided."""
    connection = await asyncpg.connect(database.superuser_url)
    await prepare(connection)
    ids = [
        row["id"]
        for row in await connection.fetch(
            "SELECT id FROM ledger.transactions WHERE kind = 'accrual' LIMIT $1", transactions
        )
    ]
    columns: dict[str, list[tuple[Any, ...]]] = {}
    for one in ids:
        for name, rows in (await _rows(connection, one)).items():
            columns.setdefault(name, []).extend(rows)
    started = time.perf_counter()
    async with connection.transaction():
        for name, rows in columns.items():
            await connection.copy_records_to_table(name, schema_name="bench", records=rows)
    elapsed = time.perf_counter() - started
    await connection.close()
    return len(ids) / elapsed


_OF = {
    "transactions": "SELECT t.* FROM ledger.transactions t WHERE t.id = $1",
    "postings": """SELECT p.* FROM ledger.postings p JOIN ledger.transactions t
        USING (customer_id, version) WHERE t.id = $1""",
    "lots": """SELECT l.* FROM ledger.lots l WHERE (l.customer_id, l.id) IN (
        SELECT p.customer_id, p.lot_id FROM ledger.postings p JOIN ledger.transactions t
        USING (customer_id, version) WHERE t.id = $1 AND p.kind = 'accrue')""",
    "sources": """SELECT t.source, t.customer_id, t.id FROM ledger.transactions t
        WHERE t.id = $1 AND t.source IS NOT NULL""",
    "receipts": "SELECT r.* FROM billing.receipts r WHERE r.id = $1",
}


async def _rows(connection: asyncpg.Connection[Any], one: Any) -> dict[str, list[tuple[Any, ...]]]:
    found = {name: await connection.fetch(query, one) for name, query in _OF.items()}
    rows = {name: [tuple(row) for row in records] for name, records in found.items() if records}
    # A key as long as a real one, an answer of the usual size.
    answer = bytes(1100)
    customer = rows["transactions"][0][0]
    recorded_at = found["transactions"][0]["recorded_at"]
    rows["idempotency_keys"] = [(one.hex, customer, bytes(32), 201, answer, recorded_at, 0)]
    return rows


def _insert(name: str, width: int) -> str:
    marks = ", ".join(f"${i}" for i in range(1, width + 1))
    return f"INSERT INTO bench.{name} VALUES ({marks})"
