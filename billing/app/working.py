"""The report on work, put together for the API and the command line."""

from __future__ import annotations

from billing.common.db import Database
from billing.common.settings import Settings
from billing.work.queues import Names, Queues
from billing.work.service import Work
from ledger.group import Clock
from ledger.service import utc_now
from workers.redis import NAMESPACE
from workers.schedule import EVERY_S
from workers.waking import QUEUE


def make_work(settings: Settings, database: Database, clock: Clock = utc_now) -> Work:
    """What `GET /v1/work`, `/metrics` and `bonus work status` show."""
    queues = Queues(settings.redis_url, Names(NAMESPACE, (QUEUE,)))
    return Work(database, queues, EVERY_S, clock=clock)
