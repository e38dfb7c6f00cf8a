"""What operators look at, as it goes over the wire; and what of it is late."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from datetime import datetime, timedelta
from typing import Final, Literal
from uuid import UUID

import msgspec

SEEN_S: Final = 60
"""A process or run that nobody saw for longer is gone."""
RUNS_MISSED: Final = 10
LATE_RUN_S: Final = 300
"""An actor is late when it has not run for so long, nor for so many times its interval."""
MAX_COUNTED: Final = 1000

Role = Literal["scheduler", "worker"]


class Queue(msgspec.Struct, frozen=True):
    """Messages in Redis. They only wake workers: none of them is work that could be lost."""

    name: str
    waiting: int
    delayed: int
    dead: int
    """Kept for a week: those that failed for good, or came too late to matter."""


class Waiting(msgspec.Struct, frozen=True):
    """Work that is due. `waiting` is counted up to 1000; `late` when the oldest waits longer than
    `limit_s`."""

    name: str
    waiting: int
    oldest: datetime | None
    oldest_age_s: float
    limit_s: int
    late: bool


class Dead(msgspec.Struct, frozen=True):
    """What failed for good, or again and again, and waits for a person. Counted up to 1000."""

    name: str
    count: int
    oldest: datetime | None
    error: str | None
    """That of the oldest."""


class Run(msgspec.Struct, frozen=True):
    """The last run of an actor. `outcome` null: it runs, or was killed (`lost`). `repeats` counts
    the runs one after another that found nothing to do."""

    actor: str
    every_s: int | None
    started_at: datetime | None
    finished_at: datetime | None
    age_s: float | None
    outcome: Literal["done", "failed", "running", "lost", "never"]
    handled: int | None
    error: str | None
    repeats: int
    late: bool


class Process(msgspec.Struct, frozen=True):
    """A worker or scheduler that was seen within a minute. `leads_since`: since when this
    scheduler is the one that sends."""

    id: UUID
    role: Role
    host: str
    pid: int
    started_at: datetime
    seen_at: datetime
    leads_since: datetime | None


class WorkReport(msgspec.Struct, frozen=True):
    """`problems` is empty when nothing is late."""

    at: datetime
    problems: list[str]
    redis: Literal["up", "away", "not configured"]
    queues: list[Queue]
    waiting: list[Waiting]
    dead: list[Dead]
    actors: list[Run]
    processes: list[Process]


def is_late(started: datetime, now: datetime, every_s: int) -> bool:
    """Whether an actor that last ran then should have run again by `now`."""
    return now - started > timedelta(seconds=max(RUNS_MISSED * every_s, LATE_RUN_S))


def problems_of(report: WorkReport, urgent: Mapping[str, str]) -> Iterator[str]:
    """What a person should look at, and where. `urgent` are the names of dead things that hold up
    others, and what to do about them."""
    if report.redis == "away":
        yield "Redis is away: nobody is woken, so work is late; none is lost."
    roles = {one.role for one in report.processes}
    if not any(one.leads_since for one in report.processes):
        yield "No scheduler leads: start `bonus scheduler`."
    if "worker" not in roles:
        yield "No worker runs: start `bonus worker`."
    for waiting in report.waiting:
        if waiting.late:
            yield (
                f"{waiting.name}: the oldest has waited {span(waiting.oldest_age_s)}, "
                f"more than {span(waiting.limit_s)}."
            )
    for run in report.actors:
        if run.late:
            last = "has never run" if run.age_s is None else f"last ran {span(run.age_s)} ago"
            yield f"{run.actor} {last}; it should every {span(run.every_s or 0)}."
    for dead in report.dead:
        if dead.count and dead.name in urgent:
            yield f"{dead.name}: {dead.count} wait for a person. {urgent[dead.name]}"


def span(seconds: float) -> str:
    """As a person says it: `45 s`, `90 s`, `5 min`, `3 h`, `2 d`."""
    for unit, length in (("d", 86_400), ("h", 3600), ("min", 60)):
        if seconds >= 2 * length:
            return f"{seconds / length:.0f} {unit}"
    return f"{max(seconds, 0):.0f} s"
