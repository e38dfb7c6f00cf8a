"""Jobs over HTTP."""

from __future__ import annotations

from uuid import UUID

from billing.common.answer import Answer
from billing.common.errors import ValidationFailed
from billing.common.http import Call, operation
from billing.jobs.schemas import JobOut, job_out
from billing.jobs.service import Jobs

_TAG = "Jobs"


@operation(
    "GET",
    "/v1/jobs/{id}",
    summary="Read a job",
    tag=_TAG,
    may=("marketer", "finance", "admin"),
    answers={200: JobOut},
)
async def read_job(call: Call) -> Answer:
    """How far it is, and its result once it is done. Ask every second or so.

    A key bound to a channel or store reads the jobs about that place only.
    """
    return Answer.json(job_out(await call.use(Jobs).read(_id(call), call.principal)))


@operation(
    "POST",
    "/v1/jobs/{id}/cancel",
    summary="Cancel a job",
    tag=_TAG,
    may=("marketer", "admin"),
    answers={200: JobOut},
)
async def cancel_job(call: Call) -> Answer:
    """It ends within seconds and keeps no result. One that is over already stays as it is."""
    return Answer.json(job_out(await call.use(Jobs).cancel(_id(call), call.principal)))


def _id(call: Call) -> UUID:
    try:
        return UUID(call.path["id"])
    except ValueError:
        raise ValidationFailed.at("/path/id", "must be a job's id, a UUID") from None


OPERATIONS = [read_job, cancel_job]
