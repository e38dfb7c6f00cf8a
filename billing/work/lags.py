"""What may wait, and for how long: a query each, of (how many, the oldest).

`$1` is the time. A feature of billing with work of its own adds a line here, and nowhere else.
"""

from __future__ import annotations

from typing import Final

import msgspec

from billing.work.model import MAX_COUNTED


class Lag(msgspec.Struct, frozen=True):
    """Work of one kind. The query gives rows of one column, the time since which each waits."""

    name: str
    limit_s: int
    sql: str

    @property
    def query(self) -> str:
        """(count up to MAX_COUNTED, the oldest)."""
        return (
            f"SELECT count(*), min(since) FROM ({self.sql} ORDER BY since LIMIT {MAX_COUNTED})"  # noqa: S608
            " AS waiting"
        )


class Failed(msgspec.Struct, frozen=True):
    """What waits for a person. The query gives (since, error); `advice` says what to do when it
    holds up others, None when it does not."""

    name: str
    sql: str
    advice: str | None = None

    @property
    def query(self) -> str:
        """(count up to MAX_COUNTED, the oldest, its error)."""
        return (
            "SELECT count(*), min(since), (array_agg(error ORDER BY since))[1]"  # noqa: S608
            f" FROM ({self.sql} ORDER BY since LIMIT {MAX_COUNTED}) AS dead"
        )


LAGS: Final = (
    Lag(
        "due",
        300,
        """
SELECT b.next_due AS since FROM ledger.balances b
WHERE b.next_due <= $1 AND NOT EXISTS (
    SELECT FROM ledger.set_aside s WHERE s.customer_id = b.customer_id AND s.again_at > $1)
""",
    ),
    Lag(
        "scenarios",
        300,
        """
SELECT q.created_at AS since FROM billing.scenario_queue q
JOIN billing.customers c ON c.id = q.customer_id AND c.status = 'verified'
WHERE q.done_at IS NULL AND q.attempts = 0 AND q.created_at <= $1
""",
    ),
    Lag(
        "jobs",
        300,
        """
SELECT j.created_at AS since FROM billing.jobs j
WHERE j.state = 'queued' AND j.created_at <= $1 AND NOT EXISTS (
    SELECT FROM billing.jobs r WHERE r.kind = j.kind AND r.state = 'running'
      AND r.heartbeat_at > clock_timestamp() - interval '1 minute')
""",
    ),
    Lag(
        "campaigns",
        300,
        """
SELECT next_run_at AS since FROM billing.campaigns
WHERE state = 'scheduled' AND next_run_at <= $1
""",
    ),
    Lag(
        "campaigns at work",
        600,
        """
SELECT coalesce(r.moved_at, r.started_at) AS since
FROM billing.campaign_runs r JOIN billing.campaigns c USING (code)
WHERE r.state = 'running' AND c.state IN ('running', 'cancelled')
  AND coalesce(r.moved_at, r.started_at) <= $1
""",
    ),
    Lag(
        "notices",
        3600,
        """
SELECT started_at AS since FROM billing.notice_runs
WHERE finished_at IS NULL AND started_at <= $1
""",
    ),
    Lag(
        "sums of reports",
        3600,
        """
SELECT since FROM (
    SELECT t.recorded_at AS since FROM ledger.transactions t
    WHERE t.xid >= (SELECT s.xid FROM ledger.rollup_state s)
    ORDER BY t.xid LIMIT 1000) AS unsummed WHERE since <= $1
""",
    ),
    Lag(
        "events",
        60,
        """
SELECT one.since FROM billing.event_cursors c, LATERAL (
    (SELECT t.recorded_at AS since FROM ledger.transactions t
     WHERE t.xid > c.xid ORDER BY t.xid LIMIT 1000)
    UNION ALL
    (SELECT e.occurred_at FROM billing.events e WHERE e.xid > c.xid ORDER BY e.xid LIMIT 1000)
) AS one WHERE one.since <= $1
""",
    ),
    Lag(
        "seals",
        900,
        """
SELECT one.since FROM (
    SELECT t.recorded_at AS since FROM ledger.transactions t
    WHERE t.xid > coalesce((
        SELECT s.until_xid FROM ledger.seals s WHERE s.chain = 'journal'
        ORDER BY s.number DESC LIMIT 1), -1)
    ORDER BY t.xid LIMIT 1000) AS one WHERE one.since <= $1
""",
    ),
    Lag(
        "webhooks whose turn it is",
        300,
        """
SELECT greatest(turn.next_at, s.not_before) AS since
FROM billing.webhook_subscriptions s, LATERAL (
    SELECT q.next_at FROM billing.webhook_queues q
    WHERE q.subscription_id = s.id AND q.next_at <= $1
      AND (q.leased_until IS NULL OR q.leased_until < clock_timestamp())
    ORDER BY q.next_at LIMIT 1000
) AS turn WHERE s.state = 'active' AND (s.not_before IS NULL OR s.not_before <= $1)
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
    Lag(
        "messages",
        60,
        """
SELECT next_at AS since FROM billing.messages
WHERE status = 'queued' AND urgency IN (0, 1) AND next_at <= $1
""",
    ),
    Lag(
        "messages that can wait",
        14_400,
        """
SELECT next_at AS since FROM billing.messages
WHERE status = 'queued' AND urgency = 2 AND next_at <= $1
""",
    ),
    Lag(
        "sms webhooks",
        300,
        """
SELECT next_at AS since FROM billing.sms_webhooks WHERE state = 'pending' AND next_at <= $1
""",
    ),
)

FAILED: Final = (
    Failed(
        "customers set aside",
        "SELECT since, error FROM ledger.set_aside WHERE $1::timestamptz IS NOT NULL",
        "They cannot be brought up to date; `bonus audit` says what is wrong with them.",
    ),
    Failed(
        "scenarios",
        """
SELECT created_at AS since, error FROM billing.scenario_queue
WHERE done_at IS NULL AND attempts >= 10 AND $1::timestamptz IS NOT NULL
""",
    ),
    Failed(
        "campaigns",
        """
SELECT coalesce((SELECT max(r.finished_at) FROM billing.campaign_runs r WHERE r.code = c.code),
                c.updated_at) AS since, c.failure AS error
FROM billing.campaigns c WHERE c.state = 'failed' AND $1::timestamptz IS NOT NULL
""",
        "Mend what the error says, then resume or cancel each.",
    ),
    Failed(
        "approvals",
        """
SELECT decided_at AS since, summary AS error FROM billing.approvals
WHERE state = 'approved' AND decided_at < $1::timestamptz - interval '5 minutes'
""",
        "Approved, and not carried out, for the process died: approve them again.",
    ),
    Failed(
        "webhook deliveries",
        """
SELECT d.finished_at AS since, (
    SELECT coalesce(a.error, 'HTTP ' || a.status) FROM billing.delivery_attempts a
    WHERE a.delivery_id = d.id ORDER BY a.at DESC LIMIT 1) AS error
FROM (
    SELECT id, finished_at FROM billing.webhook_deliveries
    WHERE state = 'dead' AND $1::timestamptz IS NOT NULL ORDER BY position LIMIT 1000) AS d
""",
    ),
    Failed(
        "messages",
        """
SELECT coalesce(finished_at, status_at) AS since, error FROM billing.messages
WHERE dead AND $1::timestamptz IS NOT NULL
""",
    ),
    Failed(
        "sms webhooks",
        """
SELECT finished_at AS since, result AS error FROM billing.sms_webhooks
WHERE state = 'dead' AND $1::timestamptz IS NOT NULL
""",
    ),
    Failed(
        "disabled webhooks",
        """
SELECT coalesce(failing_since, updated_at) AS since, disabled_because AS error
FROM billing.webhook_subscriptions WHERE state = 'disabled' AND $1::timestamptz IS NOT NULL
""",
        "They miss what happens: put the receiver right and make the subscription active again.",
    ),
)
