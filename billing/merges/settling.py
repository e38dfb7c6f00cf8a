"""Moving the points of merged customers: those of the merge, and what comes later."""

from __future__ import annotations

from typing import Final
from uuid import UUID

import structlog

from billing.common import deadline
from billing.common.db import Database
from billing.customers.records import Records
from billing.customers.vault import Vault
from billing.merges import store
from ledger import reads
from ledger.commands import MAX, ActivateWaiting, Command, Completion, Transfer
from ledger.decide import Outcome
from ledger.errors import Refusal, Unavailable
from ledger.service import Ledger

NOTHING_MOVED: Final = "nothing_moved"
_NOTHING: Final = frozenset((NOTHING_MOVED, "nothing_waiting", "insufficient_points"))
_AUTHOR: Final = "merges"

log = structlog.stdlib.get_logger(__name__)


class Settling:
    """Whatever is left of a merge, or comes to a duplicate later, is moved by the next sweep."""

    def __init__(self, ledger: Ledger, database: Database, vault: Vault) -> None:
        self._ledger = ledger
        self._database = database
        self._records = Records(vault)

    async def sweep(self, limit: int = 1000) -> int:
        """Move what came to merged customers later; how many were looked at."""
        found = await store.unsettled(self._database, limit)
        for merge_id, duplicate, survivor in found:
            try:
                await self.settle(f"merge {merge_id}", duplicate, survivor)
            except (Unavailable, Refusal) as error:
                # The others' points do not wait for it.
                log.warning("merge_left_for_later", merge=str(merge_id), error=str(error))
        return len(found)

    async def settle(self, mark: str, duplicate: UUID, survivor: UUID) -> None:
        """What is left of the duplicate's points is the survivor's, and so is its debt."""
        await self.move(duplicate, Transfer(survivor, MAX, deferred=True), mark, _AUTHOR)
        async with self._database.transaction() as tx:
            verified = (await self._records.row(tx, survivor)).status == "verified"
        if verified:
            await self._execute(
                Command(
                    customer_id=survivor,
                    kind="activation",
                    occurred_at=self._ledger.clock(),
                    steps=(ActivateWaiting(),),
                    author=_AUTHOR,
                    reason=mark,
                )
            )
        left = await reads.balance_now(self._ledger, duplicate)
        owed = left.debt - left.available
        if owed > 0:
            able = (await reads.balance_now(self._ledger, survivor)).balances.spendable
            if able:
                await self.move(
                    survivor, Transfer(duplicate, min(owed, able), pays_debt=True), mark, _AUTHOR
                )

    async def move(self, of: UUID, step: Transfer, mark: str, author: str) -> None:
        def complete(outcome: Outcome) -> Completion:
            if outcome.transaction is None or not outcome.transaction.postings:
                raise Refusal(NOTHING_MOVED, "There is nothing to move.")
            return Completion()

        await self._execute(
            Command(
                customer_id=of,
                kind="transfer_out",
                occurred_at=self._ledger.clock(),
                steps=(step,),
                author=author,
                reason=mark,
                complete=complete,
            )
        )

    async def _execute(self, command: Command) -> None:
        try:
            await self._ledger.execute(command, deadline.left())
        except Refusal as refusal:
            if refusal.code not in _NOTHING:
                raise
