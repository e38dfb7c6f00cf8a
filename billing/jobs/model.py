"""A job, and what the work of one kind looks like."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from datetime import datetime
from typing import Any, Literal
from uuid import UUID

import msgspec

State = Literal["queued", "running", "done", "failed", "cancelled"]


class Job(msgspec.Struct, frozen=True, kw_only=True):
    """A row of billing.jobs. `progress` of `total`, in whatever the kind counts."""

    id: UUID
    kind: str
    parameters: dict[str, Any]
    state: State
    progress: int
    total: int | None
    result: Any
    error: str | None
    author: str
    created_at: datetime
    started_at: datetime | None
    finished_at: datetime | None


class Claim(msgspec.Struct, frozen=True):
    """A job in our hands. Whoever takes it over gets a later `started_at`, and we lose it."""

    id: UUID
    kind: str
    parameters: dict[str, Any]
    started_at: datetime


class Progress(msgspec.Struct):
    """How far the work is: the work writes it, the runner carries it to the database."""

    done: int = 0
    total: int | None = None


Work = Callable[[Progress, dict[str, Any]], Awaitable[Any]]
"""The work of a kind: from parameters to a result that msgspec can write as JSON.

It may run again from the start, so it must leave nothing behind. It gives way to others by
awaiting, and ends when it is cancelled. A `Problem` it raises is told to whoever asked.
"""
