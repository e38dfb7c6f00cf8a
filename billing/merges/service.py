"""Merging duplicates, undoing it, and moving what comes to a merged customer later."""

from __future__ import annotations

from typing import Any, Final
from uuid import UUID

import structlog

from billing.common import deadline
from billing.common.auth import Principal
from billing.common.db import Database
from billing.common.errors import Conflict, NotFound, ValidationFailed
from billing.common.money import format_amount
from billing.common.teller import told
from billing.customers.records import Records
from billing.customers.schemas import MergeIn, MergeOut
from billing.customers.vault import Vault
from billing.events.schemas import CustomerMerged
from billing.events.store import record
from billing.merges import store
from billing.merges.model import Merge, check_pair, check_points
from ledger import reads
from ledger.commands import MAX, ActivateWaiting, Command, Completion, Transfer
from ledger.decide import Outcome
from ledger.errors import Refusal, Unavailable
from ledger.ids import uuid7
from ledger.service import Ledger

NOTHING_MOVED: Final = "nothing_moved"
_NOTHING: Final = frozenset((NOTHING_MOVED, "nothing_waiting", "insufficient_points"))
_AUTHOR: Final = "merges"

log = structlog.stdlib.get_logger(__name__)


class Merges:
    """The use cases. First the customers are tied, in one transaction; then points move, and
    whatever is left of that, or comes later, is moved by the next sweep."""

    def __init__(self, ledger: Ledger, database: Database, vault: Vault) -> None:
        self._ledger = ledger
        self._database = database
        self._records = Records(vault)

    async def merge(self, principal: Principal, duplicate: UUID, new: MergeIn) -> MergeOut:
        """Merge `duplicate` into another customer; again, the same merge.

        Raises NotFound, ValidationFailed, Conflict.
        """
        if duplicate == new.into:
            raise ValidationFailed.at("/into", "must be another customer")
        check_points(await reads.balance_now(self._ledger, duplicate))
        now = self._ledger.clock()
        async with self._database.transaction() as tx:
            for one in sorted((duplicate, new.into)):
                await self._records.row(tx, one, lock=True)
            merge = await store.standing(tx, duplicate)
            if merge is None or merge.into_id != new.into:
                left = await self._records.read(tx, duplicate)
                check_pair(left, await self._records.read(tx, new.into))
                merge = Merge(
                    id=uuid7(),
                    customer_id=duplicate,
                    into_id=new.into,
                    reason=new.reason,
                    author=principal.name,
                    merged_at=now,
                )
                await store.insert(tx, merge)
                await store.point_to(tx, merge)
                await record(tx, _told(merge, undone=False), now)
        with told():
            await self._settle(merge.mark, duplicate, new.into)
        return (await self._shown([merge]))[0]

    async def undo(self, principal: Principal, merge_id: UUID) -> MergeOut:
        """Make two customers of one again. What of the moved points is left goes back, lot by
        lot; again, what has come back to them since. Raises NotFound, Conflict."""
        now = self._ledger.clock()
        async with self._database.transaction() as tx:
            found = await store.read(tx, merge_id, lock=True)
            if found is None:
                raise NotFound(f"There is no merge {merge_id}.")
            survivor = await self._records.read(tx, found.into_id)
            if found.undone_at is None:
                if survivor.merged_into is not None:
                    raise Conflict(
                        "merge_not_possible",
                        f"{survivor.id} was merged into {survivor.merged_into} since: undo that "
                        "merge first.",
                    )
                found.undone_at, found.undone_by = now, principal.name
                await store.point_back(tx, found)
                await record(tx, _told(found, undone=True), now)
        brought = await store.moved_lots(self._database, found.into_id, [found.mark])
        step = Transfer(found.customer_id, MAX, deferred=True, lots=frozenset(brought))
        with told():
            await self._move(found.into_id, step, found.mark, principal.name)
            await self._move_returned(found, set(brought.values()), principal.name)
        return (await self._shown([found]))[0]

    async def _move_returned(self, merge: Merge, terms: set[tuple[Any, ...]], author: str) -> None:
        """Of a chain undone from its end: what went on to a third customer came back in lots of
        the same terms. Never more than the merge had moved."""
        marks = await store.undone_marks(self._database, merge.into_id)
        moved = await store.moved_points(self._database, [merge])
        left = moved.get(merge.mark, 0)
        if not marks or left <= 0:
            return
        returned = await store.moved_lots(self._database, merge.into_id, marks)
        alike = frozenset(lot for lot, of in returned.items() if of in terms)
        state = await reads.balance_now(self._ledger, merge.into_id)
        lots = [lot for lot in state.lots.values() if lot.id in alike]
        available = sum(lot.available for lot in lots)
        if available + sum(lot.deferred for lot in lots) <= left:
            step = Transfer(merge.customer_id, MAX, deferred=True, lots=alike)
        else:
            step = Transfer(merge.customer_id, min(available, left), lots=alike)
        await self._move(merge.into_id, step, merge.mark, author)

    async def of_customer(self, customer_id: UUID) -> list[MergeOut]:
        """All merges of a customer, of either side, newest first. Raises NotFound."""
        async with self._database.transaction() as tx:
            await self._records.row(tx, customer_id)
            found = await store.of_customer(tx, customer_id)
        return await self._shown(found)

    async def sweep(self, limit: int = 1000) -> int:
        """Move what came to merged customers later; how many were looked at."""
        found = await store.unsettled(self._database, limit)
        for merge_id, duplicate, survivor in found:
            try:
                await self._settle(f"merge {merge_id}", duplicate, survivor)
            except Unavailable as error:
                log.warning("merge_left_for_later", merge=str(merge_id), error=str(error))
        return len(found)

    async def _settle(self, mark: str, duplicate: UUID, survivor: UUID) -> None:
        """What is left of the duplicate's points is the survivor's, and so is its debt."""
        await self._move(duplicate, Transfer(survivor, MAX, deferred=True), mark, _AUTHOR)
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
                await self._move(
                    survivor, Transfer(duplicate, min(owed, able), pays_debt=True), mark, _AUTHOR
                )

    async def _move(self, of: UUID, step: Transfer, mark: str, author: str) -> None:
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

    async def _shown(self, merges: list[Merge]) -> list[MergeOut]:
        points = await store.moved_points(self._database, merges)
        return [
            MergeOut(
                id=one.id,
                customer_id=one.customer_id,
                into=one.into_id,
                reason=one.reason,
                author=one.author,
                merged_at=one.merged_at,
                undone_at=one.undone_at,
                undone_by=one.undone_by,
                points=format_amount(points.get(one.mark, 0)),
            )
            for one in merges
        ]


def _told(merge: Merge, *, undone: bool) -> CustomerMerged:
    return CustomerMerged(
        customer_id=merge.customer_id, into=merge.into_id, merge_id=merge.id, undone=undone
    )
