"""Looking, claiming and listing cost what they find, however much waits at a subscriber."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator
from typing import Any
from uuid import UUID

import asyncpg
import pytest

from billing.events.reading import NEWS
from integrations.webhooks import queue, store
from tests.conftest import TestDatabase
from tests.integrations.webhooks.house import House
from tests.integrations.webhooks.receiver import Receiver

WAITING = 30_000
PAGES = 700
_FILL = """
WITH one AS (
    INSERT INTO billing.webhook_deliveries
        (id, subscription_id, event_id, type, customer_id, body, state, created_at, finished_at)
    SELECT uuidv7(), $1, uuidv7(), 'points.accrued', uuidv7(), '{}', state, now(),
           CASE WHEN state = 'pending' THEN NULL ELSE now() END
    FROM generate_series(1, $2::int), unnest(ARRAY['pending', 'delivered', 'dead']) AS state
    RETURNING customer_id, state
)
INSERT INTO billing.webhook_queues (subscription_id, customer_id, next_at)
SELECT $1, customer_id, '2026-01-01Z' FROM one WHERE state = 'pending'
"""


@pytest.mark.parametrize("analyzed", [True, False])
async def test_what_waits_is_found_by_index(
    house: House, receiver: Receiver, database: TestDatabase, analyzed: bool
) -> None:
    subscription = await house.subscribe(receiver)
    owner = await asyncpg.connect(database.owner_url, server_settings={"jit": "off"})
    await owner.execute(_FILL.replace("$1", f"'{subscription}'::uuid").replace("$2", str(WAITING)))
    if analyzed:
        await owner.execute("ANALYZE billing.webhook_deliveries, billing.webhook_queues")
    now, nobody = house.clock(), await house.subscribe(receiver)
    claim = {"id": subscription, "now": now, "limit": 16, "lease": UUID(int=1), "lease_s": 60.0}
    hot: list[tuple[str, Any]] = [
        (queue.DUE, (now,)),
        (queue.ON_THEIR_WAY.text, {"id": subscription}),
        (queue.CLAIM.text, claim),
        (store.DEAD, (0, 100)),
        (NEWS, ("webhooks",)),
    ]
    lists = [
        (query, (2**62, 100, nobody)[: 3 if of_one else 2])
        for (_, of_one), query in store.PAGE.items()
    ]
    # Senders come before the statistics do; people who look at lists do not.
    for query, values in hot + lists if analyzed else hot:
        plan = await _explained(owner, query, values)
        assert plan["Shared Hit Blocks"] + plan["Shared Read Blocks"] < PAGES, (query, plan)
        big = {"webhook_deliveries", "webhook_queues", "transactions"}
        scanned = {n["Relation Name"] for n in _nodes(plan) if n["Node Type"] == "Seq Scan"}
        assert not scanned & big, (query, plan)
    await owner.close()


async def _explained(owner: Any, query: str, values: Any) -> Any:
    if isinstance(values, dict):
        names = list(values)
        query = re.sub(r"(?<!:):(\w+)", lambda m: f"${names.index(m[1]) + 1}", query)
        values = tuple(values.values())
    found = await owner.fetchval(f"EXPLAIN (ANALYZE, BUFFERS, FORMAT JSON) {query}", *values)
    return json.loads(found)[0]["Plan"]


def _nodes(plan: Any) -> Iterator[Any]:
    yield plan
    for child in plan.get("Plans", ()):
        yield from _nodes(child)
