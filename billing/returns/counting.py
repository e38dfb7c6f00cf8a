"""Limits, budgets and counters go back with the goods, of the day of the sale (C9).

What was forgiven stays counted: the customer has had those points, and a limit that forgot them
would let buying, spending and returning in turns give without end (C2).
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Mapping

from msgspec.structs import replace

from billing.programs import limits
from billing.programs.model import Award, ProgramVersion, Situation
from billing.returns.taking import Taking
from ledger.commands import Facts, Row
from ledger.model import Posting

Forgiven = Counter[str | None]
"""Points by program, in 1/100."""


def forgiven_by(postings: Iterable[Posting]) -> Forgiven:
    """What returns forgave, by the program that had given it."""
    found: Forgiven = Counter()
    for posting in postings:
        if (posting.kind, posting.credit) == ("forgive", "debt"):
            found[posting.program] += posting.amount
    return found


def counted_back(
    taken: Iterable[Taking],
    programs: Mapping[str, ProgramVersion],
    situation: Situation,
    facts: Facts,
    *,
    whole: bool,
    forgiven: Forgiven,
    before: Forgiven,
) -> tuple[tuple[Row, ...], Facts]:
    """The rows that count back what a return takes, and what the next command then sees.

    What is given once, or so many times a day, may be given again only when the sale is returned
    `whole`, and nothing of it was `forgiven`, by this return or `before`.
    """
    points = {one.earned.program: one.points - forgiven[one.earned.program] for one in taken}
    undone = {code for code in programs if whole and not (forgiven + before)[code]}
    awards = [
        Award(code, program.version, program.bucket, points.get(code, 0), (), ())
        for code, program in programs.items()
        if code in undone or points.get(code)
    ]
    counted = [
        program if code in undone else _without_times(program) for code, program in programs.items()
    ]
    return limits.counting(awards, counted, situation, facts, sign=-1)


def _without_times(program: ProgramVersion) -> ProgramVersion:
    limits_left = replace(program.limits, times_per_customer_day=None)
    return replace(program, scenario=None, first_only=False, limits=limits_left)
