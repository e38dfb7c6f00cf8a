"""Health over HTTP, for load balancers and orchestrators. Needs no key."""

from __future__ import annotations

from billing.common.answer import Answer
from billing.common.http import Call, Operation, operation
from billing.health.service import Health, Readiness

_LIVE = Answer.json({"live": True}).content


@operation("GET", "/health/live", summary="Is the process alive", tag="Health", may=None,
           answers={200: dict[str, bool]})  # fmt: skip
async def live(call: Call) -> Answer:
    """Asks nobody else: a database that is away is no reason to restart the service."""
    return Answer(_LIVE)


@operation("GET", "/health/ready", summary="Can the process serve", tag="Health", may=None,
           answers={200: Readiness, 503: Readiness})  # fmt: skip
async def ready(call: Call) -> Answer:
    """200 when the database is there, migrated, and written with this BONUS_SECRET_KEY. Redis is
    shown, but tills do without it."""
    readiness = await call.use(Health).readiness()
    if readiness.ready:
        return Answer.json(readiness)
    return Answer.json(readiness, 503, headers=((b"retry-after", b"1"),))


OPERATIONS: list[Operation] = [live, ready]
