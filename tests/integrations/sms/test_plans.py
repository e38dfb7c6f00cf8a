"""Claiming, asking and finding cost what they find, however many messages there are."""

from __future__ import annotations

import asyncpg
import pytest

from billing.messages import statuses, store
from integrations.sms import inquiry, queue, reports, service, webhooks
from tests.conftest import TestDatabase
from tests.integrations.webhooks.test_plans import _explained, _nodes

PAGES = 400
_FILL = """
INSERT INTO billing.messages (id, phone_hash, phone_masked, purpose, language, urgency, status,
    status_at, created_at, not_before, next_at, expires_at, segments, customer_id, ask_at,
    finished_at, leased_until, dead, attempt_id)
SELECT uuidv7(), decode(md5(n::text), 'hex'), '', 'notice', 'ru', n % 3,
    CASE WHEN n % 2 = 0 THEN 'queued' ELSE 'delivered' END, now(), now(), now(),
    now() + interval '1 hour', now() + interval '1 day', 1, uuidv7(),
    CASE WHEN n % 5 = 1 THEN now() + interval '1 hour' END,
    CASE WHEN n % 2 = 1 THEN now() END, NULL, n % 50 = 1, uuidv7()
FROM generate_series(1, 30000) AS n;

INSERT INTO billing.message_attempts (id, message_id, provider, number, at, provider_message_id)
SELECT attempt_id, id, 'main', 1, now(), id::text FROM billing.messages;

INSERT INTO billing.sms_webhooks (id, provider, digest, signed, state, received_at, next_at)
SELECT uuidv7(), 'main', decode(md5(n::text), 'hex'), true,
    CASE WHEN n % 100 = 0 THEN 'pending' ELSE 'done' END, now(), now() + interval '1 hour'
FROM generate_series(1, 30000) AS n
"""


@pytest.mark.parametrize("analyzed", [True, False])
async def test_what_is_due_is_found_by_index(database: TestDatabase, analyzed: bool) -> None:
    owner = await asyncpg.connect(database.owner_url, server_settings={"jit": "off"})
    await owner.execute(_FILL)
    if analyzed:
        await owner.execute("ANALYZE")
    now = await owner.fetchval("SELECT now()")
    (one,) = await owner.fetch("SELECT id, customer_id FROM billing.messages LIMIT 1")
    tomorrow = await owner.fetchval("SELECT now() + interval '1 day'")
    long_ago = await owner.fetchval("SELECT now() - interval '1 day'")
    due = {"urgency": 2, "now": now, "limit": 32}
    queries = [
        (queue.ANYTHING, (now,)),
        (queue.DUE.text, due),
        (inquiry.ANYTHING, (now,)),
        (inquiry.DUE.text, {"now": now, "again": now, "limit": 16}),
        (reports.ANYTHING, (now,)),
        (reports.CLAIM.text, {"now": now, "again": now, "limit": 20}),
        (statuses.FIND.text, {"provider": "main", "reference": str(one["id"])}),
        (store.FORGET_OLD[0].text, {"kept": long_ago, "limit": 1000}),
        (store.FORGET_OLD[1].text, {"kept_open": tomorrow, "limit": 1000}),
        (webhooks.KEEP, (one["id"], "main", b"digest", True, b"", now)),
    ]
    newest = store.PAGE[False, None], (one["id"], 50)
    people = [
        newest,
        (store.PAGE[False, "dead"], (one["id"], 50)),
        (store.PAGE[True, None], (one["id"], 50, one["customer_id"])),
        (service.WEBHOOKS[None], (2**62, 50)),
    ]
    # Senders come before the statistics do; people who look at lists do not.
    for query, values in queries + people if analyzed else queries:
        plan = await _explained(owner, query, values)
        assert plan["Shared Hit Blocks"] + plan["Shared Read Blocks"] < PAGES, (query, plan)
        big = {"messages", "message_attempts", "sms_webhooks"}
        scanned = {n["Relation Name"] for n in _nodes(plan) if n["Node Type"] == "Seq Scan"}
        assert not scanned & big, (query, plan)
    await owner.close()
