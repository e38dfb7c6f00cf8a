"""Jobs on the wire."""

from __future__ import annotations

from datetime import datetime
from typing import Any
from uuid import UUID

import msgspec

from billing.jobs.model import Job, State


class JobOut(msgspec.Struct):
    """`progress` of `total`, in whatever the kind counts; `total` comes once it is known.

    `result` is there when the state is `done`, `error` when it is `failed`.
    """

    id: UUID
    kind: str
    state: State
    parameters: dict[str, Any]
    progress: int
    total: int | None
    result: Any
    error: str | None
    author: str
    created_at: datetime
    started_at: datetime | None
    finished_at: datetime | None


def job_out(job: Job) -> JobOut:
    return JobOut(**{name: getattr(job, name) for name in JobOut.__struct_fields__})
