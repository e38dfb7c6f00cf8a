"""Limits, budgets and counters go back with the goods, of the day of the sale (C9)."""

from __future__ import annotations

from collections.abc import Iterable, Mapping

from msgspec.structs import replace

from billing.programs import limits
from billing.programs.model import Award, ProgramVersion, Situation
from billing.returns.taking import Taking
from ledger.commands import Facts, Row


def counted_back(
    taken: Iterable[Taking],
    programs: Mapping[str, ProgramVersion],
    situation: Situation,
    facts: Facts,
    *,
    whole: bool,
) -> tuple[tuple[Row, ...], Facts]:
    """The rows that count back what a return takes, and what the next command then sees.

    What is given once may be given again only when the sale is returned `whole`.
    """
    points = {taking.earned.program: taking.points for taking in taken}
    awards = [
        Award(code, program.version, program.bucket, points.get(code, 0), (), ())
        for code, program in programs.items()
        if whole or points.get(code)
    ]
    counted = [program if whole else _without_once(program) for program in programs.values()]
    return limits.counting(awards, counted, situation, facts, sign=-1)


def _without_once(program: ProgramVersion) -> ProgramVersion:
    return replace(program, scenario=None, first_only=False)
