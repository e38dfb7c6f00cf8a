"""What one person may do alone: many small steps add up to what needs a second person.

Each point that somebody gives, takes, imports or merges by hand is counted for that person, in
counters of an hour each. Those of the last day are read and locked together with what is counted,
so that two steps at once, of whatever process, see each other.
"""

from __future__ import annotations

from collections.abc import Sequence
from datetime import UTC, datetime, timedelta
from typing import Any, Final

from msgspec.structs import replace
from sqlalchemy import text
from sqlalchemy.ext.asyncio import AsyncConnection

from billing.approvals.model import id_of, key_of_id
from billing.common.db import Database
from billing.common.money import format_amount
from billing.common.teller import Request
from billing.programs.limits import COUNT, HOUSE, Counter
from ledger.commands import Command, Completion, Fact, Step, View
from ledger.decide import Outcome
from ledger.errors import Refusal
from ledger.group import Clock

HOURS: Final = 24
_HOUR: Final = timedelta(hours=1)
MAX_OPEN: Final = 10_000

_OPEN = """
INSERT INTO billing.counters (customer_id, name, value)
SELECT $1, name, 0 FROM unnest($2::text[]) AS name ORDER BY name ON CONFLICT DO NOTHING
"""
_READ = """
SELECT sum(value) AS used, EXISTS (SELECT FROM billing.approvals WHERE id = $3) AS asked
FROM billing.counters WHERE customer_id = $1 AND name = ANY($2)
"""
_LOCK = text("""
SELECT value FROM billing.counters WHERE customer_id = :house AND name = ANY(:names)
ORDER BY customer_id, name FOR UPDATE
""")
_ADD = text("""
UPDATE billing.counters SET value = value + :points WHERE customer_id = :house AND name = :name
""")


class Allowance:
    """Of every person, `limit` (1/100 points) within 24 hours, by whole hours."""

    def __init__(self, database: Database, clock: Clock, limit: int) -> None:
        self._database = database
        self._clock = clock
        self._limit = limit
        self._open: set[str] = set()

    async def allows(self, request: Request, points: int) -> bool:
        """Whether the person may do it alone, as it was a moment ago. What waits for a second
        person goes on waiting, however often it is sent."""
        names = _names(request.principal.person, self._clock())
        asked = id_of(request.key, request.fingerprint())
        (row,) = await self._database.fetch(_READ, HOUSE, names, asked)
        return not row["asked"] and int(row["used"] or 0) + points <= self._limit

    async def within(self, command: Command, person: str, points: int) -> Command:
        """A command that counts its points, and is refused as `approval_needed` when they are too
        many. It takes what an approval of the same request would be known by: of two that are sent
        at once one may have asked meanwhile. A refusal stays one."""
        if command.refusal is not None:
            return command
        if command.key is None:
            raise ValueError("what is counted has a key")
        claim = key_of_id(id_of(command.key, command.fingerprint))
        names = _names(person, self._clock())
        now = names[-2]
        await self._opened(names[-2:])
        facts = {name: Counter(HOUSE, name, self._limit).fact for name in names}
        here = 0

        def plan(view: View) -> tuple[Step, ...]:
            nonlocal here
            here = _value(view, facts[now])
            if sum(_value(view, one) for one in facts.values()) + points > self._limit:
                raise Refusal("approval_needed", self.reason)
            return command.steps

        def complete(outcome: Outcome) -> Completion:
            done = command.complete(outcome) if command.complete is not None else Completion()
            return replace(
                done,
                rows=(*done.rows, (COUNT, (HOUSE, now, points))),
                facts={**done.facts, facts[now]: [(here + points,)]},
            )

        wanted = (*command.facts, *facts.values())
        claims = (*command.claims, claim)
        return replace(command, plan=plan, facts=wanted, complete=complete, claims=claims)

    async def take(self, tx: AsyncConnection, person: str, points: int) -> bool:
        """Count points of what this transaction does; False, and nothing is counted, when they
        are too many."""
        names = _names(person, self._clock())
        await self._opened(names[-2:])
        used = sum(await tx.scalars(_LOCK, {"house": HOUSE, "names": names}))
        if used + points > self._limit:
            return False
        await tx.execute(_ADD, {"house": HOUSE, "name": names[-2], "points": points})
        return True

    @property
    def reason(self) -> str:
        """Why a second person is needed."""
        return (
            f"One person moves at most {format_amount(self._limit)} points by hand within "
            f"{HOURS} hours alone; this needs a second person."
        )

    async def _opened(self, names: Sequence[str]) -> None:
        """What is not there cannot be locked."""
        if not self._open.issuperset(names):
            await self._database.fetch(_OPEN, HOUSE, list(names))
            if len(self._open) > MAX_OPEN:
                self._open.clear()
            self._open.update(names)


def _names(person: str, now: datetime) -> list[str]:
    """The person's counters of a day, this hour's the last but one: another process may be in the
    next hour already."""
    hour = now.astimezone(UTC).replace(minute=0, second=0, microsecond=0)
    return [f"by_hand/{person}/{hour + at * _HOUR:%Y-%m-%dT%H}" for at in range(-HOURS, 2)]


def _value(view: View, fact: Fact) -> int:
    rows: Sequence[tuple[Any, ...]] = view.facts[fact]
    return int(rows[0][0]) if rows else 0
