"""Balance, statement and lots read a handful of pages, by index, whatever the ledger holds."""

from __future__ import annotations

import json
from collections.abc import Iterator
from typing import Any

import asyncpg

from billing.common.settings import Settings
from ledger.commands import Accrue, Command, Grant, PlaceHold, Step
from ledger.flows import TransactionKind
from ledger.ids import uuid7
from tests.billing.balances.house import DAY, START, House

_BY_INDEX = {"Index Scan", "Index Only Scan", "Bitmap Heap Scan", "Bitmap Index Scan"}
_PAGES, _PAGES_A_ROW = 10, 4


async def test_reads_of_one_customer_use_indexes_only(house: House, settings: Settings) -> None:
    customer = await house.customer()
    strangers = [uuid7() for _ in range(1500)]
    steps: tuple[tuple[TransactionKind, Step], ...] = (
        ("accrual", Accrue((Grant("base", ((None, 100),), program="base-5"),))),
        ("hold", PlaceHold(10, START + DAY)),
    )
    everybody = [*strangers, *[customer] * 100]
    fates = await house.ledger.execute_many(
        [
            Command(customer_id=one, kind=kind, occurred_at=START, steps=(step,))
            for kind, step in steps
            for one in everybody
        ]
    )
    assert not [fate for fate in fates if isinstance(fate, BaseException)]
    owner = await asyncpg.connect(settings.owner_database_url)
    await owner.execute("ANALYZE ledger.balances, ledger.lots, ledger.transactions")
    await owner.execute("ANALYZE ledger.postings, ledger.holds")
    await owner.close()

    seen: list[Any] = []
    async with house.ledger.pool.acquire() as connection:
        connection.add_query_logger(seen.append)
    base = f"/v1/customers/{customer}"
    await house.get(f"{base}/balance")
    await house.get(f"{base}/statement", limit=20)
    for open_ in (None, "true", "false"):
        await house.get(f"{base}/lots", limit=20, open=open_)
    asked = [one for one in seen if "FROM ledger." in one.query]
    assert len(asked) == 10

    async with house.ledger.pool.acquire() as connection:
        connection.remove_query_logger(seen.append)
        for one in asked:
            explained = await connection.fetchval(
                f"EXPLAIN (ANALYZE, BUFFERS, FORMAT JSON) {one.query}", *one.args
            )
            plan = json.loads(explained)[0]["Plan"]
            scans = {node["Node Type"] for node in _nodes(plan) if "Scan" in node["Node Type"]}
            pages = plan["Shared Hit Blocks"] + plan["Shared Read Blocks"]
            assert scans, one.query
            assert scans <= _BY_INDEX, (one.query, scans)
            assert pages <= _PAGES + _PAGES_A_ROW * plan["Actual Rows"], (one.query, pages)


def _nodes(plan: Any) -> Iterator[Any]:
    yield plan
    for child in plan.get("Plans", ()):
        yield from _nodes(child)
