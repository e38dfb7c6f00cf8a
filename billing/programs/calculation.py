"""What a basket or an event earns. Pure, exact, and the same whatever the order of programs and
lines.

The way of a calculation: each program alone (is it meant, which lines, how much, within its
limits), then each stacking group, then the multipliers, which need to know what the others gave,
and at last the lives of the points.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from datetime import datetime
from typing import TypeVar

import msgspec

from billing.common.money import MAX_AMOUNT, format_amount, split
from billing.programs.birthdays import nearest_birthday
from billing.programs.evaluation import Evaluation, common
from billing.programs.explain import Outcome, Reason
from billing.programs.limits import NOTHING_USED, Used, counters_of
from billing.programs.lines import Positions, by_goods, in_order, positions, why_not
from billing.programs.model import (
    FACTOR_UNIT,
    Award,
    Base,
    Basket,
    Brackets,
    LineFilter,
    Member,
    Multiplier,
    Part,
    ProgramVersion,
    ScenarioRule,
    Situation,
)
from billing.programs.periods import lifetimes, zone_of
from billing.programs.rewards import Taken, points_of
from billing.programs.stacking import stack
from ledger.errors import Refusal

T = TypeVar("T")

Trace = list[Reason]
"""Why each program gave what it gave; made only for those who ask, such as quotes."""

MAX_LINE_REASONS = 2000
"""Lines × programs up to which a trace speaks of single lines, not only of the whole receipt."""


class TooManyPoints(Refusal):
    """More than an amount can be: nobody could give it back, or read it."""

    def __init__(self) -> None:
        super().__init__(
            "balance_limit",
            f"The programs would give this receipt more than {format_amount(MAX_AMOUNT)} points; "
            "correct its lines, or the programs.",
        )


class _Given(msgspec.Struct):
    """What a program gives so far: `amounts` to the lines `taken`. An event has one, for none."""

    program: ProgramVersion
    taken: Sequence[int]
    amounts: list[int]
    points: int


def calculate(
    programs: Iterable[ProgramVersion],
    situation: Situation,
    points_paid: Sequence[int] = (),
    used: Used = NOTHING_USED,
    trace: Trace | None = None,
) -> tuple[Award, ...]:
    """The awards of `situation`, by program code.

    `programs` are those that run there and then (`Book.accruals`, `Book.scenarios`); `points_paid`
    is what points pay of each line, in 1/100; `used` how much of the counters is used already.
    Raises TooManyPoints.
    """
    return _Calculation(situation, points_paid, used, trace).run(programs)


def tells_lines(basket: Basket, programs: Sequence[ProgramVersion]) -> bool:
    """Whether a trace of `programs` speaks of the single lines of `basket`."""
    return len(basket.lines) * len(programs) <= MAX_LINE_REASONS


class _Nothing(Exception):
    """A program gives nothing, and why."""

    def __init__(self, code: str, **values: object) -> None:
        super().__init__(code)
        self.code = code
        self.values = values


class _Calculation:
    def __init__(
        self, situation: Situation, points_paid: Sequence[int], used: Used, trace: Trace | None
    ) -> None:
        self._situation = situation
        self._basket = situation.basket
        self._paid = points_paid or [0] * len(situation.basket.lines)
        self._used = used
        self._trace = trace
        self._trace_of_lines: Trace | None = None
        self._sorted = in_order(situation.basket)
        self._total = situation.basket.total
        self._taken: dict[LineFilter, list[int]] = {}
        self._bases: dict[tuple[int, Base], Taken] = {}
        self._evaluation = Evaluation(situation)
        self._index: tuple[Positions, Positions] | None = None

    def run(self, programs: Iterable[ProgramVersion]) -> tuple[Award, ...]:
        ordered = sorted(programs, key=lambda program: program.code)
        if tells_lines(self._basket, ordered):
            self._trace_of_lines = self._trace
        plain = [one for one in ordered if not isinstance(one.reward, Multiplier)]
        given = self._stacked(self._each(plain, self._give))
        amplifiers = [one for one in ordered if isinstance(one.reward, Multiplier)]
        if amplifiers:
            by_code = {
                one.program.code: dict(zip(one.taken, one.amounts, strict=True)) for one in given
            }
            given += self._stacked(self._each(amplifiers, lambda one: self._multiply(one, by_code)))
        parts = {one.program.code: one for one in given}
        awards = self._each(
            (parts[code].program for code in sorted(parts)), lambda p: self._award(parts[p.code])
        )
        if self._basket.lines and sum(award.points for award in awards) > MAX_AMOUNT:
            raise TooManyPoints
        return tuple(awards)

    def _each(
        self, programs: Iterable[ProgramVersion], make: Callable[[ProgramVersion], T]
    ) -> list[T]:
        """What `make` makes of the programs for which it does not find that they give nothing."""
        made: list[T] = []
        for program in programs:
            try:
                made.append(make(program))
            except _Nothing as nothing:
                self._nothing(program, nothing.code, **nothing.values)
        return made

    def _stacked(self, given: Iterable[_Given]) -> list[_Given]:
        kept, lost = stack(given, lambda one: one.program, lambda one: one.points)
        for loser, winner in lost:
            self._nothing(loser.program, "stacking_lost", winner=winner.program.code)
        return kept

    def _give(self, program: ProgramVersion) -> _Given:
        """What a program gives by itself, within its limits."""
        self._check_meant(program)
        if not self._basket.lines:
            return self._limited(
                program, _NO_LINE, points_of(program.reward, _EVENT, program.rounding)
            )
        taken = self._lines(program)
        if not taken:
            raise _Nothing("no_lines")
        money = self._money(program, taken)
        amounts = points_of(program.reward, money, program.rounding)
        if not any(amounts):
            if isinstance(program.reward, Brackets) and not program.reward.rate(money.total):
                raise _Nothing("below_brackets")
            raise _Nothing("rounds_to_nothing", step=program.rounding.step)
        return self._limited(program, taken, amounts)

    def _check_meant(self, program: ProgramVersion) -> None:
        """Raise unless the program waits for this situation, and its conditions hold."""
        if program.scenario is not None:
            self._check_scenario(program.scenario)
        if program.when is not None and not self._evaluation.holds(program.when):
            condition = program.when
            if self._trace is not None:
                condition = self._evaluation.unmet(condition)
            raise _Nothing("condition", condition=condition)

    def _check_scenario(self, rule: ScenarioRule) -> None:
        member = self._situation.member
        if rule.on == "first_purchase":
            if not member.first_purchase:
                raise _Nothing("not_first_purchase")
        elif rule.on != self._situation.event:
            raise _Nothing("another_event")
        elif rule.on == "birthday":
            zone = zone_of(self._basket.timezone)
            _check_birthday(rule, member, self._basket.occurred_at.astimezone(zone))

    def _lines(self, program: ProgramVersion) -> list[int]:
        """The lines a program takes, in the order of their numbers: remainders are handed out in
        it, so that a shuffled receipt earns the same on each line."""
        taken = self._taken.get(program.lines)
        if taken is None:
            taken = self._taken[program.lines] = self._filtered(program.lines)
        if self._trace_of_lines is not None:
            self._trace_lines(program, set(taken))
        return taken

    def _filtered(self, wanted: LineFilter) -> list[int]:
        lines = self._basket.lines
        taken = [i for i in self._candidates(wanted) if wanted.takes(lines[i])]
        if not taken or wanted.when is None:
            return taken
        met = self._evaluation.lines_where(wanted.when)
        return [i for i in taken if met >> i & 1]

    def _candidates(self, wanted: LineFilter) -> Sequence[int]:
        """The lines that may be meant: a program on a few groups does not look at each line, and
        one on many products not at each product."""
        if not wanted.groups and not wanted.products:
            return self._sorted
        if self._index is None:
            self._index = by_goods(self._basket)
        by_group, by_sku = self._index
        found = {i for group in common(wanted.groups, by_group) for i in by_group[group]}
        found.update(i for sku in common(wanted.products, by_sku) for i in by_sku[sku])
        return sorted(found, key=lambda i: self._basket.lines[i].number)

    def _money(self, program: ProgramVersion, taken: Sequence[int]) -> Taken:
        """The money of each taken line that counts."""
        if program.payment_types:
            return self._by_payment(program, self._all_money(program.base, taken))
        money = self._all_money(program.base, taken)
        if not any(money.bases):
            free = not any(self._basket.lines[i].amount for i in taken)
            raise _Nothing("costs_nothing" if free else "paid_with_points")
        return money

    def _all_money(self, base: Base, taken: Sequence[int]) -> Taken:
        # `taken` of one filter is one list (see `_lines`), so its identity will do.
        money = self._bases.get((id(taken), base))
        if money is None:
            lines, paid = self._basket.lines, self._paid
            net = base == "net_of_points"
            money = self._bases[id(taken), base] = Taken(
                [lines[i].amount - (paid[i] if net else 0) for i in taken],
                [lines[i].quantity for i in taken],
                self._total,
            )
        return money

    def _by_payment(self, program: ProgramVersion, money: Taken) -> Taken:
        """The part of the money that was paid by the types of the program (T53): of all that is
        to be paid in money, whether or not the till tells all of it."""
        told = sum(self._basket.payments_of(program.payment_types))
        if told == 0:
            raise _Nothing("no_money_of_type", types=sorted(program.payment_types))
        whole = self._total - sum(self._paid)
        if whole == 0:
            raise _Nothing("paid_with_points")
        counts = min(told, whole)
        bases = split(sum(money.bases) * counts // whole, list(money.bases))
        if not any(bases):
            raise _Nothing("paid_with_points")
        return Taken(bases, money.quantities, money.total)

    def _multiply(self, program: ProgramVersion, given: Mapping[str, Mapping[int, int]]) -> _Given:
        """What a multiplier adds to what the programs it names gave on its lines."""
        reward, rounding = program.reward, program.rounding
        if not isinstance(reward, Multiplier):
            raise TypeError(f"{program.code} is no multiplier")
        self._check_meant(program)
        taken = self._lines(program)
        named = [given[code] for code in sorted(reward.programs) if code in given]
        more = reward.factor - FACTOR_UNIT
        extra = [sum(by_line.get(i, 0) for by_line in named) * more for i in taken]
        if not any(extra):
            raise _Nothing("nothing_to_multiply", programs=sorted(reward.programs))
        if rounding.per == "line":
            amounts = [rounding.apply_ratio(one, FACTOR_UNIT) for one in extra]
        else:
            amounts = split(rounding.apply_ratio(sum(extra), FACTOR_UNIT), extra)
        if not any(amounts):
            raise _Nothing("rounds_to_nothing", step=rounding.step)
        return self._limited(program, taken, amounts)

    def _limited(self, program: ProgramVersion, taken: Sequence[int], amounts: list[int]) -> _Given:
        """Within what the limits leave."""
        points = wanted = sum(amounts)
        code, limit = "", 0
        if program.limits.per_receipt is not None and points > program.limits.per_receipt:
            points = limit = program.limits.per_receipt
            code = "receipt"
        for counter in counters_of(program, self._situation):
            left = counter.limit - self._used.get((counter.customer_id, counter.name), 0)
            if counter.times:
                if left <= 0 and counter.name.startswith("times/"):
                    raise _Nothing("limit_times", times=counter.limit)
                if left <= 0:
                    raise _Nothing("already_given")
            elif points > left:
                points, limit = max(left, 0), counter.limit
                code = counter.name.partition("/")[0]
        if points == 0:
            if not code:
                raise ValueError(f"{program.code} gives nothing that a limit took")
            raise _Nothing(f"limit_{code}", limit=limit)
        if points < wanted:
            amounts = split(points, amounts)
            self._reason(program, None, "reduced", f"reduced_{code}", points=points, limit=limit)
        return _Given(program, taken, amounts, points)

    def _award(self, given: _Given) -> Award:
        """The points with their lives, a part for each instalment."""
        program, at = given.program, self._basket.occurred_at
        lives = lifetimes(program.available, program.expires, at, self._basket.timezone)
        parts: list[Part] = []
        rest = given.amounts
        shares = [given.points] if len(lives) == 1 else split(given.points, [1] * len(lives))
        for points, (since, until) in zip(shares, lives, strict=True):
            amounts = rest if len(lives) == 1 else split(points, rest)
            rest = [left - part for left, part in zip(rest, amounts, strict=True)]
            if points and (until is None or until > (since or at)):
                parts.append(Part(points, self._by_line(given.taken, amounts), since, until))
        if not parts:
            raise _Nothing("expired_already")
        if len(parts) == 1:
            points, by_line = parts[0].points, parts[0].by_line
        else:
            points = sum(part.points for part in parts)
            by_line = tuple(map(sum, zip(*(part.by_line for part in parts), strict=True)))
        self._reason(program, None, "gave", "gave", points=points)
        for i in positions(by_line) if self._trace_of_lines is not None else ():
            self._reason(program, self._basket.lines[i].number, "gave", "gave", points=by_line[i])
        return Award(program.code, program.version, program.bucket, points, by_line, tuple(parts))

    def _by_line(self, taken: Sequence[int], amounts: Sequence[int]) -> tuple[int, ...]:
        by_line = [0] * len(self._basket.lines)
        for i, amount in zip(taken, amounts, strict=True) if by_line else ():
            by_line[i] = amount
        return tuple(by_line)

    def _nothing(self, program: ProgramVersion, code: str, **values: object) -> None:
        self._reason(program, None, "nothing", code, **values)

    def _trace_lines(self, program: ProgramVersion, taken: set[int]) -> None:
        for i in self._sorted:
            if i not in taken:
                code, values = why_not(program.lines, self._basket, i)
                number = self._basket.lines[i].number
                self._reason(program, number, "nothing", code, **values)

    def _reason(
        self,
        program: ProgramVersion,
        line: int | None,
        outcome: Outcome,
        code: str,
        **values: object,
    ) -> None:
        if self._trace is not None:
            self._trace.append(Reason(program.code, line, outcome, code, values))


_EVENT = Taken([1], [0], 0)
_NO_LINE = (0,)
"""An event as the one line that takes all its points."""


def _check_birthday(rule: ScenarioRule, member: Member, moment: datetime) -> None:
    """Raise unless it is the time of the member's birthday, known early enough."""
    if member.birth_date is None:
        raise _Nothing("birthday_unknown")
    birthday = nearest_birthday(member.birth_date, moment.date())
    if not -rule.days_after <= (birthday - moment.date()).days <= rule.days_before:
        raise _Nothing("birthday_not_now")
    if member.birth_date_since is not None:
        known = member.birth_date_since.astimezone(moment.tzinfo).date()
        if (birthday - known).days < rule.known_before:
            raise _Nothing("birthday_known_late")
