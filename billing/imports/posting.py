"""Lots posted in groups of a thousand, each once, whatever is killed and however often it runs."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from typing import Final, Literal

import structlog

from billing.common.errors import Overloaded
from billing.imports.model import Owned, Totals
from ledger.commands import Adjust, Command
from ledger.errors import Refusal, Unavailable
from ledger.group import Result
from ledger.service import Ledger
from ledger.verdicts import AWAY

GROUP: Final = 1000
ATTEMPTS: Final = 6
PAUSE_S: Final = 0.3
TIMEOUT_S: Final = 120.0
MAX_ERROR: Final = 200

log = structlog.stdlib.get_logger(__name__)


REJECTED: Final = "rejected"
OTHERWISE: Final = "was posted before, with other points, bucket or expiry"
_STANDS = """
SELECT s.source, sum(p.amount)::bigint, min(p.bucket), min(p.expires_at)
FROM ledger.sources s
JOIN ledger.transactions t ON t.customer_id = s.customer_id AND t.id = s.transaction_id
JOIN ledger.postings p
    ON p.customer_id = t.customer_id AND p.version = t.version AND p.kind = 'adjust'
WHERE s.source = ANY($1::text[]) GROUP BY s.source
"""
Fate = tuple[int, Literal["posted", "already", "rejected"], str | None]
"""A line, how it fared, and why not."""


class Poster:
    """Posts lots as adjustments by hand of `author`, with the import's name as the reason."""

    def __init__(self, ledger: Ledger, name: str, author: str) -> None:
        self._ledger = ledger
        self._reason = f"Import {name}"
        self._author = author

    async def post(self, lots: Sequence[Owned], totals: Totals) -> list[Fate]:
        """Post up to a group; how each line fared. Raises Overloaded when the ledger is away:
        what has happened is then found by whoever comes again."""
        fates: list[Fate] = []
        waiting = list(lots)
        for attempt in range(ATTEMPTS):
            if attempt:
                await asyncio.sleep(PAUSE_S * 2**attempt)
            waiting = await self._attempt(waiting, totals, fates)
            if not waiting:
                return fates
        raise Overloaded("The ledger does not answer; start the import again, it goes on.")

    async def _attempt(
        self, lots: Sequence[Owned], totals: Totals, told: list[Fate]
    ) -> list[Owned]:
        """Those nobody knows about yet."""
        try:
            fates = await self._ledger.execute_many([self._command(one) for one in lots], TIMEOUT_S)
        except Unavailable:
            return list(lots)
        again: list[Owned] = []
        known: list[Owned] = []
        for one, fate in zip(lots, fates, strict=True):
            if isinstance(fate, Unavailable):
                again.append(one)
            elif isinstance(fate, Result):
                totals.posted += 1
                totals.posted_points += one.lot.points
                told.append((one.lot.line, "posted", None))
            elif isinstance(fate, Refusal) and fate.code == "source_exists":
                known.append(one)
            else:
                told.append((one.lot.line, "rejected", _reason(one, fate)))
        try:
            told += await self._compare(known, totals)
        except AWAY:
            again += known
        return again

    async def _compare(self, known: Sequence[Owned], totals: Totals) -> list[Fate]:
        """Lots whose references stand in the ledger, beside what was posted under them."""
        if not known:
            return []
        sources = [one.lot.source for one in known]
        rows = await self._ledger.pool.fetch(_STANDS, sources, timeout=TIMEOUT_S)
        stands = {source: tuple(posted) for source, *posted in rows}
        fates: list[Fate] = []
        for lot in (one.lot for one in known):
            if stands.get(lot.source) == (lot.points, lot.bucket, lot.expires_at):
                totals.already += 1
                fates.append((lot.line, "already", None))
            else:
                fates.append((lot.line, "rejected", OTHERWISE))
        return fates

    def _command(self, one: Owned) -> Command:
        lot, now = one.lot, self._ledger.clock()
        step = Adjust(lot.points, lot.bucket, lot.available_from, lot.expires_at)
        return Command(
            customer_id=one.customer_id,
            kind="adjustment",
            occurred_at=lot.occurred_at or now,
            steps=(step,),
            source=lot.source,
            author=self._author,
            reason=self._reason,
        )


def _reason(one: Owned, fate: BaseException) -> str:
    if isinstance(fate, Refusal):
        return f"{fate.code}: {fate.detail}"[:MAX_ERROR]
    log.error("import_line_failed", line=one.lot.line, error=repr(fate))
    return repr(fate)[:MAX_ERROR]
