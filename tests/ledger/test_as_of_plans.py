"""A balance as of a time is found by its customer alone, whatever plan is kept for it."""

from __future__ import annotations

import asyncpg
import pytest

from ledger.reads import HISTORY, LOTS_AS_OF
from tests.conftest import TestDatabase


@pytest.mark.parametrize("query", [LOTS_AS_OF, HISTORY], ids=["lots", "history"])
async def test_no_plan_looks_times_up_in_their_index(database: TestDatabase, query: str) -> None:
    """Ten million postings' index of days costs 8 ms; from the sixth time on, it was read. Here
    there is no other index, so that a plan that may use it does."""
    superuser = await asyncpg.connect(database.superuser_url)
    transaction = superuser.transaction()
    await transaction.start()
    for table in ("postings", "transactions"):
        await superuser.execute(f"ALTER TABLE ledger.{table} DROP CONSTRAINT {table}_pkey")
    await superuser.execute("SET LOCAL plan_cache_mode = force_generic_plan")
    await superuser.execute("SET LOCAL enable_seqscan = off")
    await superuser.execute(f"PREPARE asked (uuid, timestamptz, timestamptz) AS {query}")
    rows = await superuser.fetch("EXPLAIN EXECUTE asked (gen_random_uuid(), now(), now())")
    plan = "\n".join(row[0] for row in rows)
    assert "Filter" in plan
    assert "recorded_at_idx" not in plan
    assert "occurred_at_idx" not in plan
    await transaction.rollback()
    await superuser.close()
