"""Pages of postings: in the order they were written, by index, and nothing is missed."""

from __future__ import annotations

import json
from collections.abc import Iterator
from datetime import timedelta
from typing import Any

import asyncpg

from billing.common.settings import Settings
from ledger.commands import Accrue, Command, Grant
from ledger.ids import uuid7
from tests.billing.balances.house import DAY, START, House

POSTINGS = "/v1/ledger/postings"
GROUP = 1000
"""Of bulk work so many transactions are written, and sorted, as one."""
_LATE = """
INSERT INTO ledger.transactions (customer_id, version, id, operation_id, kind, occurred_at,
    recorded_at, available_after, promo_after, deferred_after, held_after, debt_after)
SELECT customer_id, 1, id, id, 'accrual', $2, $2, 7, 0, 0, 0, 0
FROM (SELECT $1::uuid AS customer_id, gen_random_uuid() AS id) AS one
"""
_MOVED = """
INSERT INTO ledger.postings (customer_id, version, seq, kind, debit, credit, amount, lot_id, bucket,
    active_from, occurred_at, recorded_at)
VALUES ($1, 1, 1, 'accrue', 'issued', 'available', 7, gen_random_uuid(), 'base', $2, $2, $2)
"""


async def test_whoever_reads_on_misses_nothing_that_commits_late(
    house: House, settings: Settings
) -> None:
    """DESIGN §6, commit-order watermark."""
    first, late, last = await house.customer(), uuid7(), await house.customer()
    await house.accrue(first, 100)
    page = await house.get(POSTINGS, limit=1)
    assert [one["customer_id"] for one in page["items"]] == [str(first)]

    slow = await asyncpg.connect(settings.database_url)
    async with slow.transaction():
        await slow.execute("SET LOCAL ROLE bonus_app")
        await slow.execute(_LATE, late, START - timedelta(hours=1))
        await house.accrue(last, 100)
        waiting = await house.get(POSTINGS, limit=1, cursor=page["next_cursor"])
        assert waiting == {"items": [], "next_cursor": None}, "what follows it waits for it"
        assert (await house.get("/v1/ledger/trial-balance"))["totals"]["debit"] == "2.00"
        await slow.execute(_MOVED, late, START - timedelta(hours=1))
    await slow.close()

    rest = await house.get(POSTINGS, limit=5, cursor=page["next_cursor"])
    assert [one["customer_id"] for one in rest["items"]] == [str(late), str(last)]
    assert (await house.get("/v1/ledger/trial-balance"))["totals"]["debit"] == "2.07"


async def test_a_page_reads_few_rows_however_long_the_journal_is(
    house: House, settings: Settings
) -> None:
    await many(house, 4000)
    house.clock.now = START + 3 * DAY
    await many(house, 50)
    owner = await asyncpg.connect(settings.owner_database_url)
    await owner.execute("ANALYZE ledger.transactions, ledger.postings")
    await owner.close()
    seen: list[Any] = []
    async with house.ledger.report_pool.acquire() as connection:
        connection.add_query_logger(seen.append)
    page = await house.get(POSTINGS, limit=20)
    await house.get(POSTINGS, limit=20, cursor=page["next_cursor"])
    day: dict[str, Any] = {"from_": START + 2 * DAY, "to": START + 4 * DAY}
    page = await house.get(POSTINGS, limit=20, **day)
    await house.get(POSTINGS, limit=20, cursor=page["next_cursor"], **day)
    asked = [one for one in seen if "FROM ledger.postings" in one.query]
    assert len(asked) == 4
    async with house.ledger.report_pool.acquire() as connection:
        connection.remove_query_logger(seen.append)
        for one in asked:
            explained = await connection.fetchval(
                f"EXPLAIN (ANALYZE, FORMAT JSON) {one.query}", *one.args
            )
            plan = json.loads(explained)[0]["Plan"]
            (scan,) = [n for n in nodes(plan) if n.get("Relation Name") == "postings"]
            assert scan["Node Type"] == "Index Scan", plan
            assert scan["Actual Loops"] <= GROUP + 50, plan
            assert plan["Actual Rows"] == 20


async def many(house: House, count: int) -> None:
    grant = Grant("base", (("dairy", 100), ("bread", 50)), program="base-5")
    fates = await house.ledger.execute_many(
        [
            Command(
                customer_id=uuid7(),
                kind="accrual",
                occurred_at=house.clock(),
                steps=(Accrue((grant,)),),
            )
            for _ in range(count)
        ]
    )
    assert not [fate for fate in fates if isinstance(fate, BaseException)]


def nodes(plan: Any) -> Iterator[Any]:
    yield plan
    for child in plan.get("Plans", ()):
        yield from nodes(child)


async def test_a_period_lists_what_was_written_late_for_it(house: House) -> None:
    """Where a period lies in the journal is no guess: backdated postings are in it."""
    customer = await house.customer()
    expected = []
    for day in (1, 5, 2, 9, 3):
        house.clock.now = START + (10 + day) * DAY
        made = await house.accrue(customer, 100, occurred_at=START + day * DAY)
        expected += [str(made.id)] if 2 <= day <= 5 else []
    found = await house.pages(POSTINGS, 1, from_=START + 2 * DAY, to=START + 6 * DAY)
    assert [one["transaction_id"] for one in found] == expected
    assert await house.pages(POSTINGS, 1, from_=START + 30 * DAY) == []
