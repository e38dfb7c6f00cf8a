"""The program a campaign may name: a scenario of an event of the chain's own."""

from __future__ import annotations

from datetime import datetime

import msgspec

from billing.common.db import Database
from billing.common.errors import ValidationFailed
from billing.programs import store
from billing.programs.definition import compile_stored
from billing.programs.model import ProgramVersion
from billing.programs.sense import EVENTS


async def find_program(database: Database, code: str, at: datetime) -> ProgramVersion:
    """The version that counts at a moment. Raises ValidationFailed at /program."""
    rows = await store.read_versions(database, code)
    if not rows:
        raise _wrong(f"there is no program {code!r}")
    archived = rows[0]["archived_at"]
    if archived is not None and archived <= at:
        raise _wrong(f"{code!r} is archived")
    published = [row for row in rows if row["effective_from"] is not None]
    counting = [row for row in published if row["effective_from"] <= at]
    if not counting:
        raise _wrong(f"{code!r} is not published by then")
    row = max(counting, key=lambda one: (one["effective_from"], one["version"]))
    program = compile_stored(code, row["version"], msgspec.json.decode(row["definition"]))
    rule = program.scenario if isinstance(program, ProgramVersion) else None
    if not isinstance(program, ProgramVersion) or rule is None:
        raise _wrong(f"{code!r} is no scenario; make one with an event of your own")
    if rule.on in EVENTS:
        raise _wrong(f"{code!r} gives on {rule.on!r}, which happens by itself; use an event of "
                     "your own")  # fmt: skip
    if not program.runs_at(at):
        raise _wrong(f"{code!r} is not valid then")
    return program


def _wrong(detail: str) -> ValidationFailed:
    return ValidationFailed.at("/program", detail)
