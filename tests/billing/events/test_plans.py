"""A chunk costs what the chunk costs, whatever the journal holds, with statistics or without."""

from __future__ import annotations

import json
from collections.abc import Iterator
from typing import Any

import asyncpg
import pytest

from billing.events import reading
from billing.events.stream import CHUNK
from tests.conftest import TestDatabase

TRANSACTIONS = 60_000
A_GROUP = 20
_FILL = """
INSERT INTO ledger.transactions
    (customer_id, version, id, operation_id, kind, occurred_at, recorded_at, available_after,
     promo_after, deferred_after, held_after, debt_after, xid)
SELECT uuidv7(), 1, uuidv7(), uuidv7(), 'accrual', now(), now(), 100, 0, 0, 0, 0, n / $2
FROM generate_series(1, $1::int) AS n
"""
_POSTINGS = """
INSERT INTO ledger.postings
    (customer_id, version, seq, kind, debit, credit, amount, lot_id, bucket, active_from,
     occurred_at, recorded_at)
SELECT customer_id, 1, seq, 'accrue', 'issued', 'available', 50, id, 'base', now(), now(), now()
FROM ledger.transactions, generate_series(1, 2) AS seq
"""


@pytest.mark.parametrize("analyzed", [True, False])
async def test_a_chunk_in_the_middle_and_at_the_end_is_read_by_index(
    database: TestDatabase, analyzed: bool
) -> None:
    owner = await asyncpg.connect(database.owner_url, server_settings={"jit": "off"})
    await owner.execute(_FILL.replace("$1::int", str(TRANSACTIONS)).replace("$2", str(A_GROUP)))
    await owner.execute(_POSTINGS)
    if analyzed:
        await owner.execute("ANALYZE ledger.transactions, ledger.postings")
    last = TRANSACTIONS // A_GROUP
    await owner.execute(reading.BY_INDEX.replace("true", "false"))
    for after in (last // 2, last - 2 * CHUNK // A_GROUP, last):
        bound = reading.BOUND.text.replace(":after", "$1").replace(":until", "$2")
        bound = bound.replace(":skipped", str(CHUNK - 1))
        plan = await _explained(owner, bound, after, last)
        assert _scans(plan) == {"Index Only Scan"}, plan
        assert _pages(plan) <= 20 + 2 * CHUNK
        end = min(after + CHUNK // A_GROUP, last)
        plan = await _explained(owner, reading.JOURNAL, after, end)
        assert _scans(plan) == {"Index Scan"}, plan
        assert _pages(plan) <= 20 + 10 * A_GROUP * (end - after)
    await owner.close()


async def _explained(owner: asyncpg.Connection[asyncpg.Record], query: str, *args: Any) -> Any:
    found = await owner.fetchval(f"EXPLAIN (ANALYZE, BUFFERS, FORMAT JSON) {query}", *args)
    return json.loads(found)[0]["Plan"]


def _pages(plan: Any) -> int:
    return int(plan["Shared Hit Blocks"] + plan["Shared Read Blocks"])


def _scans(plan: Any) -> set[str]:
    return {node["Node Type"] for node in _nodes(plan) if "Scan" in node["Node Type"]}


def _nodes(plan: Any) -> Iterator[Any]:
    yield plan
    for child in plan.get("Plans", ()):
        yield from _nodes(child)
