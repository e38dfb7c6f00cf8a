"""The arithmetic of deferred revenue (IFRS 15 B39 to B43 and B44 to B47, ASC 606-10-55-41 to 49).

A cohort is what one program gave in one month. Of the sales of that month it is allocated a share
by stand-alone selling price; that much is deferred. It becomes revenue as the cohort's points are
redeemed, in proportion to all that are expected to be, so that points nobody will use (breakage)
are recognised along with those that are. A change of estimate is caught up in the month it is
made in. Exact inside; rounded, half away from zero, where an amount is posted.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from decimal import ROUND_HALF_UP, Decimal
from typing import Final, Literal

import msgspec

Breakage = Literal["proportional", "remote", "none"]
"""`proportional`: expected breakage is recognised in step with redemption. `remote`: only once
points have expired. `none`: the house may not keep it; what expires stays owed."""

_ZERO: Final = Decimal(0)


class Accounts(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """The names of the accounts in the accounting system."""

    sales: str = "sales"
    deferred: str = "deferred_revenue"
    revenue: str = "loyalty_revenue"
    breakage: str = "breakage_revenue"


class Policy(msgspec.Struct, frozen=True, kw_only=True):
    """How a program's points are accounted for, from a month on.

    `point_price`: stand-alone selling price of a point, in money; `expected_redemption`: the share
    of points that will be redeemed; steps in 1/100 of money: what the allocation and what revenue
    is rounded to.
    """

    deferred: bool = True
    point_price: Decimal = Decimal(1)
    expected_redemption: Decimal = Decimal(1)
    breakage: Breakage = "proportional"
    allocation_step: int = 1
    step: int = 1
    accounts: Accounts = Accounts()

    @property
    def share(self) -> Decimal:
        """Of the points, how many count: all, where nothing may be taken for granted."""
        return self.expected_redemption if self.breakage == "proportional" else Decimal(1)


class Points(msgspec.Struct, frozen=True):
    """What became of a cohort's points by some time, in 1/100: `revoked` when sold goods came
    back, `redeemed` net of restored, `gone` expired or taken away."""

    issued: int = 0
    revoked: int = 0
    redeemed: int = 0
    gone: int = 0


class Standing(msgspec.Struct, frozen=True):
    """Where a cohort stands, in 1/100 of money: of `allocated` so much came back with returned
    goods, so much is revenue, of redemption or of breakage."""

    allocated: int = 0
    returned: int = 0
    revenue: int = 0
    breakage: int = 0

    @property
    def liability(self) -> int:
        return self.allocated - self.returned - self.revenue - self.breakage


def allocate(
    sales: int, issued: Mapping[str, int], policies: Mapping[str, Policy]
) -> dict[str, int]:
    """What of `sales` (1/100 of money, net of points) falls to each program's points.

    By relative stand-alone selling price: that of the goods is their price, that of points is
    their price times the share that will be redeemed.
    """
    prices = {
        program: points * policies[program].point_price * policies[program].share
        for program, points in issued.items()
    }
    whole = sales + sum(prices.values(), _ZERO)
    if whole == 0:
        return dict.fromkeys(issued, 0)
    return {
        program: rounded(sales * price / whole, policies[program].allocation_step)
        for program, price in prices.items()
    }


def standing(allocated: int, points: Points, policy: Policy) -> Standing:
    """Where a cohort stands after what became of its points.

    No more is expected to be redeemed than was or still can be, and no less than was: when
    nothing is left to redeem, nothing is left to owe.
    """
    kept = points.issued - points.revoked
    if kept <= 0:
        return Standing(allocated, allocated, 0, 0)
    returned = rounded(Decimal(allocated) * points.revoked / points.issued, policy.step)
    deferred = allocated - returned
    redeemed = max(0, min(points.redeemed, kept))
    gone = max(0, min(points.gone, kept - redeemed))
    par = rounded(Decimal(deferred) * redeemed / kept, policy.step)
    if policy.breakage == "proportional":
        likely = min(policy.expected_redemption * kept, Decimal(kept - gone))
        expected = max(Decimal(redeemed), likely)
        total = deferred if expected == 0 else _part(deferred, redeemed, expected, policy)
    elif policy.breakage == "remote":
        total = _part(deferred, redeemed + gone, Decimal(kept), policy)
    else:
        total = par
    return Standing(allocated, returned, min(par, total), max(0, total - par))


def _part(deferred: int, done: int, expected: Decimal, policy: Policy) -> int:
    if done >= expected:
        return deferred
    return rounded(Decimal(deferred) * done / expected, policy.step)


def rounded(amount: Decimal, step: int) -> int:
    """`amount` to a multiple of `step`, half away from zero."""
    return int((amount / step).quantize(Decimal(1), ROUND_HALF_UP)) * step


class Cohort(msgspec.Struct, frozen=True):
    """A program's points of one month (`2026-01`), and where they stand."""

    program: str
    month: str
    points: Points
    standing: Standing


class Line(msgspec.Struct, frozen=True, kw_only=True):
    """A program's movement in a month, in 1/100 of money.

    opening + deferred - returned - revenue - breakage = closing.
    """

    program: str
    opening: int
    deferred: int
    returned: int
    revenue: int
    breakage: int
    closing: int


def movements(before: Sequence[Cohort], after: Sequence[Cohort]) -> list[Line]:
    """By program, what moved between two ends of months."""
    programs = sorted({cohort.program for cohort in (*before, *after)})
    lines = []
    for program in programs:
        was, now = _sum(before, program), _sum(after, program)
        lines.append(
            Line(
                program=program,
                opening=was.liability,
                deferred=now.allocated - was.allocated,
                returned=now.returned - was.returned,
                revenue=now.revenue - was.revenue,
                breakage=now.breakage - was.breakage,
                closing=now.liability,
            )
        )
    return lines


def _sum(cohorts: Sequence[Cohort], program: str) -> Standing:
    own = [cohort.standing for cohort in cohorts if cohort.program == program]
    return Standing(
        sum(one.allocated for one in own),
        sum(one.returned for one in own),
        sum(one.revenue for one in own),
        sum(one.breakage for one in own),
    )


class Entry(msgspec.Struct, frozen=True, kw_only=True):
    """A line to post: a positive amount from credit to debit, as accountants say it."""

    id: str
    program: str
    what: str
    debit: str
    credit: str
    amount: int


def entries(document: str, lines: Sequence[Line], accounts: Mapping[str, Accounts]) -> list[Entry]:
    """The journal of a month. Ids are made of the document's and the line's place: whoever posts
    it twice can tell."""
    made: list[Entry] = []
    for line in lines:
        names = accounts.get(line.program, Accounts())
        for what, amount, debit, credit in (
            ("deferred", line.deferred, names.sales, names.deferred),
            ("returned", line.returned, names.deferred, names.sales),
            ("revenue", line.revenue, names.deferred, names.revenue),
            ("breakage", line.breakage, names.deferred, names.breakage),
        ):
            if amount < 0:
                amount, debit, credit = -amount, credit, debit
            if amount:
                made.append(
                    Entry(
                        id=f"{document}/{len(made) + 1}",
                        program=line.program,
                        what=what,
                        debit=debit,
                        credit=credit,
                        amount=amount,
                    )
                )
    return made
