"""How a program gets on with the others that are published: one policy in a stacking group, and
multipliers of programs that give something."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from datetime import datetime

import msgspec

from billing.programs.faults import Faults
from billing.programs.model import Multiplier, ProgramVersion, RedemptionRule

Program = ProgramVersion | RedemptionRule


class Neighbour(msgspec.Struct, frozen=True):
    """A program and the time in which this version of it counts; `until` is exclusive."""

    program: Program
    since: datetime
    until: datetime | None

    def meets(self, other: Neighbour) -> bool:
        """Whether there is a moment at which both give."""
        ends = [one for each in (self, other) for one in (each.until, each.program.valid_to) if one]
        begin = max(self.since, other.since, self.program.valid_from, other.program.valid_from)
        return all(begin < end for end in ends)


def check_neighbours(newcomer: Neighbour, others: Iterable[Neighbour]) -> None:
    """Raise ValidationFailed unless `newcomer` can be published beside `others`."""
    faults = Faults()
    program = newcomer.program
    if isinstance(program, ProgramVersion):
        met = [one for one in others if one.program.code != program.code and one.meets(newcomer)]
        _check_policy(program, met, faults)
        if isinstance(program.reward, Multiplier):
            _check_multiplied(program.reward, met, faults)
    faults.raise_if_any()


def _check_policy(program: ProgramVersion, met: Sequence[Neighbour], faults: Faults) -> None:
    stacking = program.stacking
    for one in met:
        if not isinstance(one.program, ProgramVersion):
            continue
        other = one.program.stacking
        if other.group == stacking.group and other.policy != stacking.policy:
            faults.add(
                "/stacking/policy",
                f"must be {other.policy!r}, as of the program {one.program.code!r} in the group "
                f"{stacking.group!r} at the same time; or take another group",
            )
            return


def _check_multiplied(reward: Multiplier, met: Sequence[Neighbour], faults: Faults) -> None:
    giving = {one.program.code: one.program for one in met}
    for code in sorted(reward.programs):
        program = giving.get(code)
        if program is None:
            detail = f"{code!r} is not a program published for the same time"
        elif isinstance(program, RedemptionRule):
            detail = f"{code!r} gives no points: it says what points may pay"
        elif isinstance(program.reward, Multiplier):
            detail = f"{code!r} is a multiplier itself"
        elif program.scenario is not None and program.scenario.on != "first_purchase":
            detail = f"{code!r} gives for events, not for what is bought"
        else:
            continue
        faults.add("/reward/programs", detail)
