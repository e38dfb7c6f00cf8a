"""Which versions of programs can be simulated."""

from __future__ import annotations

import msgspec

from billing.common.db import Database
from billing.common.errors import NotFound, ValidationFailed
from billing.programs import store
from billing.programs.definition import compile_stored
from billing.programs.model import ProgramVersion, RedemptionRule


async def read_draft(database: Database, code: str, version: int | None) -> ProgramVersion:
    """A version of a program, published or not; the newest, if none is named.

    Raises NotFound, and ValidationFailed for what receipts do not earn by.
    """
    rows = await store.read_versions(database, code)
    if not rows:
        raise NotFound(f"There is no program {code!r}.")
    wanted = rows[-1]["version"] if version is None else version
    row = next((row for row in rows if row["version"] == wanted), None)
    if row is None:
        raise NotFound(f"Program {code!r} has no version {wanted}.")
    program = compile_stored(code, wanted, msgspec.json.decode(row["definition"]))
    if isinstance(program, RedemptionRule):
        raise _refused(code, "it says what points may pay, and gives none")
    if program.scenario is not None and program.scenario.on != "first_purchase":
        raise _refused(code, f"it gives on the event {program.scenario.on!r}")
    return program


def _refused(code: str, because: str) -> ValidationFailed:
    return ValidationFailed.at("", f"program {code!r} cannot be simulated over receipts: {because}")
