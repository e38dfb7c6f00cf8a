"""What workers do. An actor may run twice, late or beside itself: each leaves the same."""

from __future__ import annotations

import dramatiq
from dramatiq import Broker

from ledger.sweep import post_due
from workers.ledger import OpenLedger

POST_DUE = "post_due"
POST_DUE_LIMIT = 1000

SECOND = 1000
MINUTE = 60 * SECOND


def declare(broker: Broker, opened: OpenLedger) -> None:
    """Register the actors with the broker. Times are in milliseconds."""

    async def post_all_due() -> None:
        """Activations, expiries and hold timeouts whose time has come, until none is left."""
        while await post_due(opened.ledger, limit=POST_DUE_LIMIT) == POST_DUE_LIMIT:
            pass

    dramatiq.actor(
        broker=broker,
        actor_name=POST_DUE,
        max_retries=3,
        min_backoff=1 * SECOND,
        max_backoff=10 * SECOND,
        max_age=2 * MINUTE,  # the scheduler sends a fresh one every half minute
        time_limit=10 * MINUTE,
    )(post_all_due)
