"""What a definition must not say though each part of it is right: it would be empty or contradict
itself."""

from __future__ import annotations

from datetime import timedelta
from difflib import SequenceMatcher

from billing.common.money import format_amount
from billing.programs.conditions import leaves
from billing.programs.contradictions import contradictions, demands
from billing.programs.faults import Faults
from billing.programs.fields import FIELDS
from billing.programs.limits import FIRST_PURCHASE
from billing.programs.model import (
    Fixed,
    Leaf,
    LineFilter,
    Multiplier,
    ProgramVersion,
    RedemptionRule,
)
from billing.programs.periods import lifetimes, parse_period

EVENTS = ("registration", "verification", "birthday", "first_purchase", "referral")
"""The scenarios the service knows itself; every other one is an event of the chain's own."""

_NEAR = 0.85
_NOT_FIRST = Leaf(FIRST_PURCHASE, "=", False)
_YEARS_100 = 1200 * 31


def check_sense(program: ProgramVersion | RedemptionRule, faults: Faults) -> None:
    """Add to `faults` what is empty or contradictory."""
    if program.valid_to is not None and program.valid_to <= program.valid_from:
        faults.add("/valid_to", "must be later than valid_from, or the program never runs")
    scope, lines = program.scope, program.lines
    _disjoint("/scope/stores", scope.stores, scope.exclude_stores, faults)
    _disjoint("/lines/groups", lines.groups, lines.exclude_groups, faults)
    _disjoint("/lines/products", lines.products, lines.exclude_products, faults)
    for condition, at, of_line in (
        (program.when, "/when", False),
        (lines.when, "/lines/when", True),
    ):
        if condition is not None:
            for pointer, detail in contradictions(condition, at, of_line=of_line):
                faults.add(pointer, detail)
    if isinstance(program, ProgramVersion):
        _check_reward(program, faults)
        _check_limits(program, faults)
        _check_life(program, faults)
        _check_scenario(program, faults)


def _disjoint(
    pointer: str, wanted: frozenset[str], excluded: frozenset[str], faults: Faults
) -> None:
    for code in sorted(wanted & excluded):
        faults.add(pointer, f"{code!r} is both included and excluded")


def _check_reward(program: ProgramVersion, faults: Faults) -> None:
    if isinstance(program.reward, Fixed) and program.rounding.per == "line":
        faults.add("/rounding/per", "a fixed reward is of the whole receipt; it is not rounded")
    if isinstance(program.reward, Multiplier):
        if program.base != "net_of_points":
            faults.add("/base", "a multiplier takes what others gave, not money; leave it out")
        if program.payment_types:
            faults.add("/payment_types", "a multiplier takes what others gave; leave it out")


def _check_limits(program: ProgramVersion, faults: Faults) -> None:
    limits, reward = program.limits, program.reward
    for name in ("per_receipt", "per_customer_day", "budget"):
        limit = getattr(limits, name)
        if limit == 0:
            faults.add(f"/limits/{name}", "must be more than 0; leave it out for no limit")
        elif limit is not None and isinstance(reward, Fixed) and limit < reward.points:
            given = format_amount(reward.points)
            faults.add(f"/limits/{name}", f"is less than the {given} points given each time")


def _check_life(program: ProgramVersion, faults: Faults) -> None:
    available, expires = program.available, program.expires
    if available is not None and available.instalments is not None:
        parts, every = available.instalments, parse_period(available.instalments.every)
        span = every.times(parts.count - 1)
        if span.months * 31 + span.days + span.minutes // 1440 > _YEARS_100:
            faults.add("/available/instalments", "must not go on for more than 100 years")
            return
    if available is not None and available.at is not None and available.at <= program.valid_from:
        faults.add("/available/at", "is not after valid_from; leave it out for points at once")
    if expires is None or expires.at is None:
        return
    if expires.at <= program.valid_from:
        faults.add("/expires/at", "is not after valid_from: no points would ever live")
    elif program.valid_to is None or program.valid_to > expires.at:
        faults.add(
            "/expires/at", "comes before the program ends; set valid_to to that moment or earlier"
        )
    else:
        last = program.valid_to - timedelta(microseconds=1)
        begins = [begin for begin, _ in lifetimes(available, expires, last, "UTC")]
        if any(begin is not None and begin >= expires.at for begin in begins):
            faults.add("/expires/at", "comes before the last points become available")


def _check_scenario(program: ProgramVersion, faults: Faults) -> None:
    rule = program.scenario
    if rule is None:
        return
    for known in EVENTS:
        if rule.on != known and _is_near(rule.on, known):
            faults.add("/scenario/on", f"is not known; did you mean {known!r}?")
    if rule.on == "first_purchase":
        if program.when is not None and demands(program.when, _NOT_FIRST):
            faults.add("/when", "can never hold: it is the first purchase that gives")
        return
    without = "is not known to an event, which has no receipt"
    if not isinstance(program.reward, Fixed):
        faults.add("/reward/kind", "must be 'fixed': an event has no receipt to calculate from")
    if program.lines != LineFilter():
        faults.add("/lines", f"{without}; leave it out")
    if program.payment_types:
        faults.add("/payment_types", f"{without}; leave it out")
    for pointer, leaf in leaves(program.when, "/when") if program.when is not None else ():
        if FIELDS[leaf.field].of_sale:
            faults.add(f"{pointer}/field", without)


def _is_near(name: str, known: str) -> bool:
    """A slip of the pen; `verification-2` is none."""
    close = SequenceMatcher(None, name, known).ratio() >= _NEAR
    return close and abs(len(name) - len(known)) <= 1
