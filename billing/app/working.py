"""The report on work, put together for the API and the command line."""

from __future__ import annotations

from typing import Final

from billing.common.db import Database
from billing.common.settings import Settings
from billing.work.lags import FAILED, LAGS, Failed, Lag
from billing.work.queues import Names, Queues
from billing.work.service import Work
from ledger.group import Clock
from ledger.service import utc_now
from workers.redis import NAMESPACE
from workers.schedule import EVERY_S
from workers.waking import QUEUE

OF_WEBHOOKS: Final = (
    Lag(
        "events",
        120,
        """
SELECT since FROM (
    SELECT t.recorded_at AS since FROM ledger.transactions t
    WHERE t.xid > (SELECT min(xid) FROM billing.event_cursors) AND t.recorded_at <= $1
    ORDER BY t.xid LIMIT 1000) AS undispatched
""",
    ),
    Lag(
        "webhooks whose turn it is",
        300,
        """
SELECT q.next_at AS since FROM billing.webhook_queues q
JOIN billing.webhook_subscriptions s ON s.id = q.subscription_id AND s.state = 'active'
WHERE q.next_at <= $1 AND (q.leased_until IS NULL OR q.leased_until < $1)
""",
    ),
    Lag(
        "webhooks undelivered",
        86_400,
        """
SELECT since FROM (
    SELECT d.created_at AS since FROM billing.webhook_deliveries d
    JOIN billing.webhook_subscriptions s ON s.id = d.subscription_id AND s.state = 'active'
    WHERE d.state = 'pending' AND d.created_at <= $1
    ORDER BY d.position LIMIT 1000) AS undelivered
""",
    ),
)
DEAD_WEBHOOKS: Final = Failed(
    "webhooks",
    """
SELECT since, error FROM (
    SELECT d.created_at AS since, d.type AS error FROM billing.webhook_deliveries d
    WHERE d.state = 'dead' AND $1::timestamptz IS NOT NULL
    ORDER BY d.position LIMIT 1000) AS dead
""",
)


def make_work(settings: Settings, database: Database, clock: Clock = utc_now) -> Work:
    """What `GET /v1/work`, `/metrics` and `bonus work status` show."""
    queues = Queues(settings.redis_url, Names(NAMESPACE, (QUEUE,)))
    return Work(
        database,
        queues,
        EVERY_S,
        lags=(*LAGS, *OF_WEBHOOKS),
        failed=(*FAILED, DEAD_WEBHOOKS),
        clock=clock,
    )
