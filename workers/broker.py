"""The queue. No results and no groups: whoever wants to know the outcome asks PostgreSQL."""

from __future__ import annotations

from dramatiq.brokers.redis import RedisBroker
from dramatiq.middleware import AgeLimit, AsyncIO, Retries, TimeLimit

from billing.common.settings import Settings
from workers.actors import declare
from workers.ledger import OpenLedger
from workers.redis import connect

NAMESPACE = "bonus"


def make_broker(settings: Settings) -> RedisBroker:
    """A broker that knows all actors."""
    opened = OpenLedger(settings.database_url)
    broker = RedisBroker(  # type: ignore[no-untyped-call]
        client=connect(settings.redis_url),
        namespace=NAMESPACE,
        # The defaults also hold callbacks, pipelines and shutdown notices: none is used here.
        middleware=[AgeLimit(), TimeLimit(), Retries(), AsyncIO(), opened],
    )
    declare(broker, opened)
    return broker
