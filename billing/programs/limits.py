"""Limits of programs: how much is used, counted under the customer's lock.

A counter belongs to a customer (what a day or a scenario gave) or to the house (a budget), and
lives in `billing.counters`. The ledger reads it for a plan and writes it with the postings, so
that tills side by side can never give more than a limit. What a return takes back is counted
back (C9).
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import Any
from uuid import UUID

import msgspec

from billing.programs.model import Award, ProgramVersion, Situation
from billing.programs.periods import zone_of
from ledger.commands import Fact, Facts, Reading, Row, Statement

HOUSE = UUID(int=0)
"""Whose counters those are that all customers share."""

FIRST_PURCHASE = "receipt.first_purchase"

_OF_CUSTOMER = Reading(
    "counters",
    """
SELECT c.customer_id, c.name, c.value FROM billing.counters c
WHERE (c.customer_id, c.name) IN (SELECT * FROM unnest($1::uuid[], $2::text[]))
ORDER BY c.customer_id, c.name
""",
)
_OF_HOUSE = Reading("counters of the house", _OF_CUSTOMER.sql, lock=True)

COUNT = Statement(
    "billing.counters",
    """
INSERT INTO billing.counters AS c (customer_id, name, value)
SELECT customer_id, name, sum(delta) FROM unnest($1::uuid[], $2::text[], $3::bigint[])
    AS n (customer_id, name, delta)
GROUP BY customer_id, name ORDER BY customer_id, name
ON CONFLICT (customer_id, name) DO UPDATE
    SET value = greatest(greatest(c.value, 0) + excluded.value, 0)
""",
    3,
)


class Counter(msgspec.Struct, frozen=True):
    """One thing that is counted: points in 1/100, or how many `times` a program gave."""

    customer_id: UUID
    name: str
    limit: int
    times: bool = False

    @property
    def fact(self) -> Fact:
        """Where the ledger finds how much of it is used."""
        reading = _OF_HOUSE if self.customer_id == HOUSE else _OF_CUSTOMER
        return Fact(reading, self.customer_id, self.name)


Used = Mapping[tuple[UUID, str], int]
"""How much of each counter is used; what is missing is zero."""

NOTHING_USED: Used = {}


def counters_of(program: ProgramVersion, situation: Situation) -> tuple[Counter, ...]:
    """What of `program` is counted when it gives in this situation."""
    if not is_counted(program):
        return ()
    member, limits = situation.member.id, program.limits
    counters: list[Counter] = []
    once = once_key(program, situation)
    if once is not None:
        counters.append(Counter(member, f"once/{program.code}/{once}", 1, times=True))
    times = limits.times_per_customer_day
    if times is not None:
        name = f"times/{program.code}/{local_day(situation)}"
        counters.append(Counter(member, name, times, times=True))
    if limits.per_customer_day is not None:
        day = local_day(situation)
        counters.append(Counter(member, f"day/{program.code}/{day}", limits.per_customer_day))
    if limits.budget is not None:
        counters.append(Counter(HOUSE, budget_name(program.code), limits.budget))
    return tuple(counters)


def budget_name(code: str) -> str:
    """The house's counter of what the program gave in all its versions."""
    return f"budget/{code}"


def once_key(program: ProgramVersion, situation: Situation) -> str | None:
    """Of what `program` gives only once to a customer: the name of the occurrence."""
    if program.scenario is not None:
        return situation.event_key
    return "first" if program.first_only else None


def local_day(situation: Situation) -> str:
    """The day in the shop, as `2026-11-21`."""
    basket = situation.basket
    return basket.occurred_at.astimezone(zone_of(basket.timezone)).date().isoformat()


def is_counted(program: ProgramVersion) -> bool:
    """Whether what `program` gives depends on counters."""
    return (
        program.limits.per_customer_day is not None
        or program.limits.times_per_customer_day is not None
        or program.limits.budget is not None
        or program.scenario is not None
        or program.first_only
    )


def facts_of(programs: Iterable[ProgramVersion], situation: Situation) -> tuple[Fact, ...]:
    """What a command has to see before it knows what `programs` may still give."""
    return tuple(
        counter.fact for program in programs for counter in counters_of(program, situation)
    )


def used(found: Facts, wanted: Iterable[Fact]) -> Used:
    """How much of the counters `wanted` (of `facts_of`) is used, by what the ledger found.

    Never less than nothing: a store whose time zone was put right between a sale and its return
    counts back on another day than it counted on.
    """
    return {
        (fact.customer_id, fact.name): max(0, found[fact][0][0]) for fact in wanted if found[fact]
    }


def counting(
    awards: Sequence[Award],
    programs: Iterable[ProgramVersion],
    situation: Situation,
    facts: Facts,
    sign: int = 1,
) -> tuple[tuple[Row, ...], Facts]:
    """The rows that count `awards` (-1: count them back), and what the next command then sees.

    Counters of times move by one an award: leave out, when counting back, what was not all
    returned.
    """
    by_code = {program.code: program for program in programs}
    rows: list[Row] = []
    after: dict[Fact, Sequence[tuple[Any, ...]]] = {}
    for award in awards:
        for counter in counters_of(by_code[award.program], situation):
            delta = sign * (1 if counter.times else award.points)
            seen = after.get(counter.fact) or facts.get(counter.fact)
            after[counter.fact] = [(max(0, (seen[0][0] if seen else 0) + delta),)]
            rows.append((COUNT, (counter.customer_id, counter.name, delta)))
    return tuple(rows), after
