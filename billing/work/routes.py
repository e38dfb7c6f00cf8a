"""Work over HTTP, for operators."""

from __future__ import annotations

from billing.common.answer import Answer
from billing.common.http import Call, Operation, operation
from billing.work.model import WorkReport
from billing.work.service import Work


@operation(
    "GET",
    "/v1/work",
    summary="See what workers do and what is late",
    tag="Work",
    may=("finance", "support", "admin"),
    answers={200: WorkReport},
)
async def read_work(call: Call) -> Answer:
    """Messages in Redis, what is due and since when, what waits for a person, the last run of
    each actor, and the workers and schedulers seen within a minute. `problems` says in words what
    is late, and is empty when nothing is. No money depends on it: tills are right without
    workers."""
    return Answer.json(await call.use(Work).report())


OPERATIONS: list[Operation] = [read_work]
