"""Events that a subscriber asked for, and that were never made a delivery to him."""

from __future__ import annotations

from datetime import timedelta
from typing import Any, Final

from billing.audits.checks import Asked
from billing.events.model import matches
from billing.events.reading import events_between
from integrations.webhooks.dispatcher import CONSUMER
from integrations.webhooks.store import KEPT_DELIVERED
from ledger.findings import Finding
from ledger.load import Connection

_CURSOR = "SELECT xid FROM billing.event_cursors WHERE consumer = $1"
_SUBSCRIBED = """
SELECT id, events, since, updated_at FROM billing.webhook_subscriptions WHERE state = 'active'
"""
_MADE = """
SELECT subscription_id, event_id FROM billing.webhook_deliveries WHERE event_id = ANY($1::uuid[])
"""
MARGIN: Final = timedelta(days=1)
MOST: Final = 100


async def undelivered(connection: Connection, asked: Asked) -> list[Finding]:
    """What happened since the earlier audit, is behind the dispatcher's place in the journal, and
    has no delivery though a subscription of that time wants it."""
    subscribed = [tuple(row) for row in await connection.fetch(_SUBSCRIBED)]
    until: int | None = await connection.fetchval(_CURSOR, CONSUMER)
    if not subscribed or until is None:
        return []
    oldest = asked.now - KEPT_DELIVERED + MARGIN
    findings: list[Finding] = []
    after = max(asked.after_commit, min(since for _, _, since, _ in subscribed))
    async with connection.transaction():
        async for events in events_between(connection, after, until):
            made = await connection.fetch(_MADE, [event.id for event in events])
            there = {(row[0], row[1]) for row in made}
            for event in events:
                for id_, patterns, since, updated_at in subscribed:
                    wanted = event.xid > since and any(matches(one, event.type) for one in patterns)
                    # It may have asked for something else, or been off, before its change.
                    late = event.at > max(updated_at, oldest)
                    if wanted and late and (id_, event.id) not in there:
                        findings.append(_finding(event, id_))
            if len(findings) >= MOST:
                break
    return findings[:MOST]


def _finding(event: Any, subscription: Any) -> Finding:
    detail = f"of type {event.type} has no delivery to subscription {subscription}"
    return Finding("event", event.customer_id, str(event.id), detail)
