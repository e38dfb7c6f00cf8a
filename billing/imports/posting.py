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

GROUP: Final = 1000
ATTEMPTS: Final = 6
PAUSE_S: Final = 0.3
TIMEOUT_S: Final = 120.0
MAX_ERROR: Final = 200

log = structlog.stdlib.get_logger(__name__)


REJECTED: Final = "rejected"
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
        for one, fate in zip(lots, fates, strict=True):
            if isinstance(fate, Unavailable):
                again.append(one)
            elif isinstance(fate, Result):
                totals.posted += 1
                totals.posted_points += one.lot.points
                told.append((one.lot.line, "posted", None))
            elif isinstance(fate, Refusal) and fate.code == "source_exists":
                totals.already += 1
                told.append((one.lot.line, "already", None))
            else:
                told.append((one.lot.line, "rejected", _reason(one, fate)))
        return again

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
